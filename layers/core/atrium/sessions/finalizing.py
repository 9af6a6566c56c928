"""Ends runs for the worker and the sweeper: ledger entry, commit of the run, settlement and release of the session.

    worker    ledger ─> commit ─> settle ─> session
    sweeper   take over (the worker can no longer commit) ─> ledger ─> commit ─> settle ─> session
    approval  pause ─> settle; the session remains in use

Each step is idempotent. The ledger entry is written first and never removed, so every ended run is charged. Slots are
removed after the commit, so every running run has its slot. If the session is not released, the next turn or the
sweeper releases it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from atrium.kernel.clock import Clock
from atrium.kernel.errors import ApprovalExpired, AtriumError, RunInterrupted, Unavailable
from atrium.kernel.ids import RunId, SessionId, is_stateless, mint_message_id
from atrium.llm.model import Text, ToolUse, Usage
from atrium.quotas.model import Used
from atrium.quotas.service import QuotaService
from atrium.runs.approvals import Approvals
from atrium.runs.model import Message, Outcome, Run, RunError, Sequencer, Spend
from atrium.runs.steps import STOPPED, Progress, Step, StepLog, shown_results, unrecorded_text, unseen_events
from atrium.runs.store import LeaseLost, RunStore, read_stored
from atrium.sessions.purge import purge_run
from atrium.sessions.store import SessionStore
from atrium.usage.model import LedgerEntry
from atrium.usage.store import LedgerStore

OPENING_GRACE_SECONDS = 60
APPROVAL_SECONDS = 86_400
"""A run that waits longer for an approval fails."""
RESUME_SECONDS = 600
"""A run whose lease expired longer ago is no longer resumed."""
TAKEOVERS_MAX = 3
"""The number of workers that may resume a run without recording an answer or a result."""
EPOCHS_MAX = 20


@dataclass(frozen=True, slots=True)
class RunFinalizer:
    """Ends runs of one tenant. `wake` is called with each run that another worker can resume (`atrium.jobs`)."""

    runs: RunStore
    sessions: SessionStore
    ledger: LedgerStore
    quotas: QuotaService
    clock: Clock
    wake: Callable[[RunId], None] = lambda _run_id: None

    def end(self, run: Run, outcome: Outcome, *, at: datetime) -> Run | None:
        """Record the outcome of a run by its worker. Return the stored run, or None if the session was deleted.

        `run.reservation` must be current. If the sweeper took the run over first, the stored run has another outcome
        or is still open. Idempotent for the same outcome.
        """
        entry = self._entry(run, outcome, at)
        entry = self._record(entry) or entry
        if self.runs.end(run.id, outcome, at=at):
            ended = run.ended(outcome, at)
            self._settle(run, entry)
            self._give_back(ended)
            return ended
        standing = self.runs.get(run.id)
        if standing is None:
            self._settle(run, entry)
            purge_run(self.runs, run.id)  # deletes events that were stored after the session was deleted
        return standing

    def pause(self, run: Run, waiting: Sequence[ToolUse], spend: Spend) -> Run:
        """Let a run wait for the approval of tool calls, without a slot. `run.reservation` must be current.

        Raises `LeaseLost` if the run no longer belongs to this worker.
        """
        used, until = Used(spend.total_tokens, spend.cost_nanos), self.clock() + timedelta(seconds=APPROVAL_SECONDS)
        settled = run.reservation.settled(used) if run.reservation else None
        ids = tuple(call.id for call in waiting)
        paused = replace(
            run, status="waiting_approval", waiting_for=ids, spend=spend, reservation=settled, lease_until=until
        )
        self.runs.pause(paused, until=until)
        if run.reservation is not None:
            with suppress(Unavailable):  # the sweeper settles the slots later
                self.quotas.settle(run.reservation, used, is_last=True)
        return paused

    def close_expired(self, run_id: RunId) -> bool:
        """End a run whose lease expired, or that was cancelled while it waited. Return False if it does not end now.

        If the run had already ended, its session is released. A run with steps is left to another worker, unless no
        worker has resumed it for ten minutes.
        """
        run = self.runs.get(run_id)
        if run is None:
            return False
        if not run.is_open:
            self._give_back(run)
            return False
        now = self.clock()
        is_dropped = run.is_waiting and run.cancel_requested
        if not is_dropped and (not run.lease_is_over(now) or self.is_resumable(run, now)):
            if run.lease_is_over(now) or (run.is_waiting and Approvals(self.runs, run).are_decided()):
                self.wake(run.id)
            return False
        taken = self.runs.take_over(run_id, now=now, is_waiting=is_dropped)
        return taken is not None and self.close(taken, ApprovalExpired() if run.is_waiting else RunInterrupted())

    def close(self, taken: Run, failure: AtriumError) -> bool:
        """End a run that was taken over, with its recorded steps and the text of its stored events.

        The recorded usage is that of `spent_so_far`. If the run already has a ledger entry, it is that of the entry.
        """
        now, runs = self.clock(), replace(self.runs, epoch=taken.epoch)
        recorded = self._fence(taken)
        if taken.reservation is not None:
            taken = replace(taken, reservation=self.quotas.find(taken.reservation) or taken.reservation)
        outcome = self._interrupted(taken, recorded, spent_so_far(taken, recorded), now, failure)
        entry = self._entry(taken, outcome, now)
        standing = self._record(entry)
        if standing is not None:
            tokens = replace(standing.tokens, estimated=standing.estimated)
            outcome = replace(outcome, spend=Spend(tokens, standing.tool_calls, standing.cost_nanos))
        if not runs.end(taken.id, outcome, at=now):
            return False
        self._settle(taken, standing or entry)
        self._give_back(taken.ended(outcome, now))
        return True

    def _fence(self, taken: Run) -> Progress:
        """Record a step, after which no earlier worker makes a call. Return the state of the run before this step."""
        steps = StepLog(self.runs, taken.id, self.clock)
        while True:
            recorded = steps.read()
            fence = Step(spend=recorded.spend, iterations=recorded.iterations, model=recorded.model, is_takeover=True)
            try:
                steps.append(fence)
            except LeaseLost:  # an earlier worker recorded one more step
                continue
            return recorded

    def is_resumable(self, run: Run, now: datetime) -> bool:
        """Return whether another worker may resume a run: its lease expired a short time ago, and it has steps."""
        if run.is_waiting or run.cancel_requested or run.epoch >= EPOCHS_MAX or run.lease_until is None:
            return False
        if not run.lease_is_over(now) or now - run.lease_until > timedelta(seconds=RESUME_SECONDS):
            return False
        progress = StepLog(self.runs, run.id, self.clock).read()
        if not progress.origin.get("is_resumable", True):
            return False
        return progress.steps > 0 and progress.takeovers < TAKEOVERS_MAX and self.ledger.get(run.id) is None

    def release_stale(self, session_id: SessionId) -> bool:
        """Release a session if the lease of its turn expired. Return whether the session is free."""
        session = self.sessions.get(session_id)
        if session is None or session.turn is None:
            return True
        run_id = session.turn.run_id
        self.close_expired(run_id)
        run = self.runs.get(run_id)
        if run is None:
            never_opened = self.clock() - session.turn.opened_at > timedelta(seconds=OPENING_GRACE_SECONDS)
            return never_opened and self.sessions.drop_turn(session_id, run_id)
        return not run.is_open

    def undo(self, run: Run, *, new_session: bool) -> None:
        """Undo the start of a run: delete the run, delete or release its session, and then undo the admission."""
        purge_run(self.runs, run.id)
        if new_session:
            self.sessions.remove_new(run.session_id, run.id)
        elif not is_stateless(run.id):
            self.sessions.drop_turn(run.session_id, run.id)
        if run.reservation is not None:
            self.quotas.release(run.reservation)

    def _record(self, entry: LedgerEntry) -> LedgerEntry | None:
        """Write a ledger entry. Return the existing entry, or None if there was no entry."""
        return None if self.ledger.put(entry) else self.ledger.get(entry.run_id)

    def _settle(self, run: Run, entry: LedgerEntry) -> None:
        if run.reservation is not None:
            self.quotas.settle(run.reservation, Used(entry.total_tokens, entry.cost_nanos))

    def _give_back(self, ended: Run) -> None:
        """Release the session, if there is one. If its data is being removed, delete the run."""
        if is_stateless(ended.id) or self.sessions.close_turn(ended):
            return
        session = self.sessions.get(ended.session_id, with_deleted=True)
        if session is None or session.is_purged:
            purge_run(self.runs, ended.id)

    def _interrupted(self, run: Run, recorded: Progress, spend: Spend, now: datetime, failure: AtriumError) -> Outcome:
        stored = list(read_stored(self.runs, run, after=1))
        progress = recorded.knowing(shown_results(stored)).closed(STOPPED.text)
        text = unrecorded_text(stored, progress.messages)
        sequencer = Sequencer(stored[-1].sequence if stored else 1)
        tail = tuple(map(sequencer.number, unseen_events(progress.messages, {}, stored)))
        answer = (Message(mint_message_id(now), "assistant", (Text(text),), now),) if text else ()
        cancelled = run.cancel_requested
        return Outcome(
            status="cancelled" if cancelled else "failed",
            stop_reason="cancelled" if cancelled else None,
            spend=spend,
            messages=(*progress.messages, *answer),
            tail=tail,
            last_sequence=sequencer.last,
            iterations=progress.iterations,
            model=progress.model,
            error=None if cancelled else RunError.of(failure),
            swept=True,
        )

    def _entry(self, run: Run, outcome: Outcome, at: datetime) -> LedgerEntry:
        reservation, model = run.reservation, outcome.model or run.model
        counted = reservation.slots if reservation and reservation.recorded else {}
        return LedgerEntry(
            run_id=run.id,
            tenant_id=self.runs.table.tenant_id,
            at=at,
            agent_id=run.agent_id,
            principal_id=run.owner,
            session_id=run.session_id,
            model=model,
            provider=outcome.provider or run.provider,
            status=outcome.status,
            tokens=outcome.spend.tokens,
            tool_calls=outcome.spend.tool_calls,
            cost_nanos=outcome.spend.cost_nanos,
            end_user=run.end_user,
            estimated=outcome.spend.tokens.estimated,
            admitted={name: slot.admitted for name, slot in counted.items()},
            new_session=reservation.own.new_session if reservation else False,
            own_key=run.has_own_key(model),
        )


def spent_so_far(run: Run, recorded: Progress) -> Spend:
    """Return the usage of an interrupted run, at most its reservation.

    While tool calls are open, no model call is running, so the recorded usage is exact. Otherwise, a model call may
    have been running, and a bound above the reported usage is marked as estimated.
    """
    if recorded.open_calls:
        return recorded.spend
    run = replace(run, spend=max(recorded.spend, run.spend, key=lambda each: each.total_tokens))
    if run.reservation is None:
        return run.spend
    own = run.reservation.own
    more = max(0, own.tokens_in_all - run.spend.total_tokens)
    cost = max(own.cost_in_all_nanos, run.spend.cost_nanos)
    missing = Usage(input_tokens=more, estimated=more > 0 or cost > run.spend.cost_nanos)
    return Spend(run.spend.tokens + missing, run.spend.tool_calls, cost)
