"""How a run ends, whoever ends it: the ledger, its hold, then the run's own commit, then the session is given back.

    worker    ledger ─> settle ─> commit ─> session
    sweeper   take over, from when on the worker cannot commit ─> ledger ─> settle ─> commit ─> session

Each step may be repeated. The ledger comes first, so that nothing that ended is unpaid; its first entry stands, and
is what is settled and what the sweeper's commit says. While a run is open somebody will settle it, so no slot of a run
that ended stays. A session that was not given back is, by the next turn in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from atrium.kernel.clock import Clock
from atrium.kernel.errors import RunInterrupted
from atrium.kernel.ids import RunId, SessionId, mint_message_id
from atrium.llm.model import Text, Usage
from atrium.quotas.model import Hold
from atrium.quotas.service import AdmissionService
from atrium.quotas.state import marks_of, write_marks
from atrium.runs.events import read_stored
from atrium.runs.model import Message, Outcome, Run, RunError, RunEvent, Spend
from atrium.runs.store import RunStore
from atrium.sessions.purge import purge_run
from atrium.sessions.store import SessionStore
from atrium.usage.model import Charged, LedgerEntry
from atrium.usage.store import LedgerStore

OPENING_GRACE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RunCloser:
    """Ends runs of one tenant."""

    runs: RunStore
    sessions: SessionStore
    ledger: LedgerStore
    admissions: AdmissionService
    clock: Clock

    def end(self, run: Run, outcome: Outcome, *, at: datetime) -> Run | None:
        """Record how a run ended, as its worker, and return it as it stands then. `run.hold` is what it holds now.

        That is another outcome, or none yet, where the sweeper was first; None where the session was deleted.
        Safe to repeat with the same outcome.
        """
        self._settle(run, self._entry(run, outcome, at))
        if self.runs.end(run.id, outcome, at=at):
            ended = run.ended(outcome, at)
            self._give_back(ended)
            return ended
        standing = self.runs.get(run.id)
        if standing is None:
            purge_run(self.runs, run.id)  # events that were stored after the deletion
        return standing

    def close_lapsed(self, run_id: RunId) -> bool:
        """End a run whose worker died; False if it lives, or is ended already (then its session is given back).

        Its answer is what had been stored of it, its spend at most what it held: a model call may have been under way.
        """
        run = self.runs.get(run_id)
        if run is None:
            return False
        if not run.is_open:
            self._give_back(run)
            return False
        now = self.clock()
        taken = self.runs.take_over(run_id, now=now) if run.lease_is_over(now) else None
        if taken is None:
            return False
        taken = replace(taken, hold=taken.hold and (self.admissions.locate(taken.hold) or taken.hold))
        spend, estimated = _spent_at_most(taken)
        outcome = self._interrupted(taken, spend, now)
        standing = self._settle(taken, replace(self._entry(taken, outcome, now), estimated=estimated))
        if standing is not None:
            outcome = replace(outcome, spend=Spend(standing.tokens, standing.tool_calls, standing.cost_nanos))
        if not self.runs.end(run_id, outcome, at=now):
            return False
        self._give_back(taken.ended(outcome, now))
        return True

    def release_stale(self, session_id: SessionId) -> bool:
        """Give a session back whose live turn is dead; True if it may be taken now."""
        session = self.sessions.get(session_id)
        if session is None or session.turn is None:
            return True
        run_id = session.turn.run_id
        self.close_lapsed(run_id)
        run = self.runs.get(run_id)
        if run is None:
            never_opened = self.clock() - session.turn.opened_at > timedelta(seconds=OPENING_GRACE_SECONDS)
            return never_opened and self.sessions.drop_turn(session_id, run_id)
        return not run.is_open

    def undo(self, run: Run, *, new_session: bool) -> None:
        """Remove a run that was opened, or was to be, but never began, and its new session; or give that back.

        Its admission is undone last: while the run is there, its slot is its own.
        """
        purge_run(self.runs, run.id)
        if new_session:
            self.sessions.remove_new(run.session_id, run.id)
        else:
            self.sessions.drop_turn(run.session_id, run.id)
        if run.hold is not None:
            self.admissions.release(run.hold)

    def _settle(self, run: Run, entry: LedgerEntry) -> LedgerEntry | None:
        """Record a run's usage and settle its hold to it; returns the entry that stands where another was first."""
        standing = None if self.ledger.put(entry) else self.ledger.get(run.id)
        settled = standing or entry
        if run.hold is not None:
            self.admissions.settle(run.hold, settled.total_tokens, settled.cost_nanos)
        return standing

    def _give_back(self, ended: Run) -> None:
        """Give the session back. Where it was deleted in the meantime, the run goes, too."""
        if self.sessions.close_turn(ended):
            return
        if self.sessions.get(ended.session_id) is None:
            purge_run(self.runs, ended.id)

    def _interrupted(self, run: Run, spend: Spend, now: datetime) -> Outcome:
        stored = list(read_stored(self.runs.table, self.runs.blobs, run.id, after=1))
        text = partial_text(stored)
        answer = (Message(mint_message_id(now), "assistant", (Text(text),), now),) if text else ()
        cancelled = run.cancel_requested
        failure = RunInterrupted()
        return Outcome(
            status="cancelled" if cancelled else "failed",
            stop_reason="cancelled" if cancelled else None,
            spend=spend,
            messages=answer,
            last_sequence=stored[-1].sequence if stored else 1,
            error=None if cancelled else RunError(failure.code, failure.detail),
            swept=True,
        )

    def _entry(self, run: Run, outcome: Outcome, at: datetime) -> LedgerEntry:
        return LedgerEntry(
            run_id=run.id,
            tenant_id=self.runs.table.tenant_id,
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
            charged=_charged(run.hold),
            apart={own.place: charged for own in run.hold.apart if (charged := _charged(own))} if run.hold else {},
        )


def _spent_at_most(run: Run) -> tuple[Spend, bool]:
    """Return what a dead worker's run used at most, and whether that is more than it reported."""
    hold = run.hold
    if hold is None:
        return run.spend, False
    more = max(0, hold.tokens_in_all - run.spend.total_tokens)
    cost = max(hold.cost_in_all_nanos, run.spend.cost_nanos)
    spend = Spend(run.spend.tokens + Usage(input_tokens=more), run.spend.tool_calls, cost)
    return spend, spend != run.spend


def _charged(hold: Hold | None) -> Charged | None:
    """Return where admission counted a call. The request and session of one with several model calls count when it was
    made: its `d` goes, its `s` becomes `o`.
    """
    if hold is None or not hold.recorded:
        return None
    marks = hold.marks
    if hold.call > 1:
        before = marks_of(marks).items()
        marks = write_marks({prefix: letters.replace("d", "").replace("s", "o") for prefix, letters in before})
    return Charged(hold.shard, hold.second, marks)


def partial_text(events: Sequence[RunEvent]) -> str:
    """Return the text that the events carried to the client."""
    return "".join(str(event.data["content"]) for event in events if event.type == "text")
