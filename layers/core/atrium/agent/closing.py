"""How a run ends, whoever ends it: the ledger, then the run's own commit, then the session is given back.

Each step may be repeated. The ledger comes first, so that nothing that ended is unpaid; the run's commit
decides between a slow worker and the sweeper; a session that was not given back is, by the next turn in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from atrium.kernel.clock import Clock
from atrium.kernel.errors import RunInterrupted
from atrium.kernel.ids import RunId, SessionId, TenantId, mint_message_id
from atrium.llm.model import Text
from atrium.runs.events import read_stored
from atrium.runs.model import Message, Outcome, Run, RunError, RunEvent
from atrium.runs.store import RunStore
from atrium.sessions.store import SessionStore
from atrium.usage.model import LedgerEntry
from atrium.usage.store import LedgerStore

OPENING_GRACE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RunCloser:
    """Ends runs of one tenant."""

    runs: RunStore
    sessions: SessionStore
    ledger: LedgerStore
    clock: Clock

    def end(self, run: Run, outcome: Outcome) -> bool:
        """Record how a run ended, as its worker. False if it had been ended by another."""
        now = self.clock()
        self.ledger.put(_entry(run, outcome, self.runs.table.tenant_id, now))
        ours = self.runs.end(run.id, outcome, at=now)
        self.sessions.close_turn(run.session_id, run.id, messages=1 + len(outcome.messages))
        return ours

    def close_lapsed(self, run_id: RunId) -> bool:
        """End a run whose worker died; False if it lives, or is ended already (then its session is given back).

        Its answer is what had been stored of it, its spend what the worker last reported.
        """
        run = self.runs.get(run_id)
        now = self.clock()
        if run is None or not run.is_open:
            self._release(run, run_id)
            return False
        if not run.lease_is_over(now):
            return False
        outcome = self._interrupted(run)
        self.ledger.put(_entry(run, outcome, self.runs.table.tenant_id, now))
        if not self.runs.end(run.id, outcome, at=now, lapsed_before=now):
            return False
        self.sessions.close_turn(run.session_id, run.id, messages=1 + len(outcome.messages))
        return True

    def release_stale(self, session_id: SessionId) -> bool:
        """Give a session back whose live turn is dead; True if it may be taken now."""
        session = self.sessions.get(session_id)
        if session is None or session.turn is None:
            return True
        run = self.runs.get(session.turn.run_id)
        if run is None:
            never_opened = self.clock() - session.turn.opened_at > timedelta(seconds=OPENING_GRACE_SECONDS)
            return never_opened and self.sessions.close_turn(session_id, session.turn.run_id, messages=0)
        if run.is_open:
            return self.close_lapsed(run.id)
        self._release(run, run.id)
        return True

    def _release(self, run: Run | None, run_id: RunId) -> None:
        if run is not None:
            self.sessions.close_turn(run.session_id, run_id, messages=len(run.messages))

    def _interrupted(self, run: Run) -> Outcome:
        stored = list(read_stored(self.runs.table, self.runs.blobs, run.id, after=1))
        text = partial_text(stored)
        now = self.clock()
        answer = (Message(mint_message_id(now), "assistant", (Text(text),), now),) if text else ()
        cancelled = run.cancel_requested
        failure = RunInterrupted()
        return Outcome(
            status="cancelled" if cancelled else "failed",
            stop_reason="cancelled" if cancelled else None,
            spend=run.spend,
            messages=answer,
            last_sequence=stored[-1].sequence if stored else 1,
            error=None if cancelled else RunError(failure.code, failure.detail),
        )


def partial_text(events: Sequence[RunEvent]) -> str:
    """Return the text that the events carried to the client."""
    return "".join(str(event.data["content"]) for event in events if event.type == "text")


def _entry(run: Run, outcome: Outcome, tenant_id: TenantId, at: datetime) -> LedgerEntry:
    return LedgerEntry(
        run_id=run.id,
        tenant_id=tenant_id,
        at=at,
        agent_id=run.agent_id,
        principal_id=run.owner,
        session_id=run.session_id,
        model=run.model,
        provider=run.provider,
        status=outcome.status,
        tokens=outcome.spend.tokens,
        tool_calls=outcome.spend.tool_calls,
        cost_nanos=outcome.spend.cost_nanos,
        end_user=run.end_user,
    )
