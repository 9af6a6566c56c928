"""One turn, from the validated request to the recorded answer: read the context, start, run the loop, finalize.

One thread must iterate `Turn.events` to its end, even if the client disconnects. Otherwise the run is not committed.
"""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256

from atrium.agent.context import TurnContextReader, checked_ids
from atrium.agent.loop import AgentLoop
from atrium.agent.model import TurnRequest
from atrium.agent.starting import DryRun, StartedTurn, TurnStarter
from atrium.identity.context import to_authorizer_context
from atrium.kernel.clock import Clock
from atrium.kernel.errors import AtriumError, ModelTimeout, NotFound, RunInterrupted, Unavailable
from atrium.kernel.ids import RunId, mint_run_id, mint_session_id, mint_stateless_run_id
from atrium.runs.heartbeat import LeaseHeartbeat, StopSignal
from atrium.runs.model import (
    ApprovalRequiredEvent,
    Outcome,
    Run,
    RunError,
    RunEvent,
    RunStatus,
    Sequencer,
    ToolResultEvent,
    closing_events,
    error_event,
    start_event,
)
from atrium.runs.steps import Resumption, Step, StepLog
from atrium.runs.store import EventLog, LeaseLost
from atrium.sessions.finalizing import RunFinalizer

COMMIT_PAUSES_SECONDS = (1.0, 3.0)
"""Wait times before each retry of the commit."""


@dataclass(slots=True)
class Turn:
    """A started turn. Any thread can stop the turn with `signal`. `after` is the number of its last stored event.

    `ended` is the committed run, or the run that waits for approval, with its outcome so far. It is None if neither
    could be recorded.
    """

    started: StartedTurn
    loop: AgentLoop
    signal: StopSignal
    heartbeat: LeaseHeartbeat
    log: EventLog
    finalizer: RunFinalizer
    clock: Clock
    on_defect: Callable[[BaseException], None]
    after: int = 0
    pause: Callable[[float], None] = time.sleep
    ended: Run | None = None

    @property
    def run(self) -> Run:
        """Return the run as it was recorded at its start."""
        return self.started.run

    def events(self) -> Generator[RunEvent]:
        """Yield the run's events, from `start` to `final` or `error`. The run is committed before `usage` or `error`,
        and waits before `approval_required`.

        If the commit fails, or another worker took over the run, the client receives an `error` event that is not
        stored. A worker that lost its run records nothing.
        """
        if not self.after:
            yield start_event(self.run)
        sequencer = Sequencer(after=max(self.after, 1))
        failure: AtriumError | None = None
        held: list[RunEvent] = []
        with self.heartbeat:
            try:
                with closing(self.loop.run()) as pieces:
                    for piece in pieces:
                        if isinstance(piece, ToolResultEvent) and piece.answer.defect is not None:
                            self.on_defect(piece.answer.defect)
                        event = sequencer.number(piece)
                        self.log.append(event)
                        if isinstance(piece, ApprovalRequiredEvent):
                            held.append(event)
                        else:
                            yield event
            except AtriumError as error:
                failure = error
            except LeaseLost:
                failure = RunInterrupted()
            except Exception as error:  # noqa: BLE001 - the run must end and the client must get an event
                failure = self._conceal(error)
            last_events = self._close(sequencer.last, failure)
        yield from (*held, *last_events)

    def _close(self, last_sequence: int, failure: AtriumError | None) -> tuple[RunEvent, ...]:
        failure = failure or self._cut_short()
        if self.loop.failure is not None:
            self.on_defect(self.loop.failure)
        if failure is not None:
            self.on_defect(failure)
        try:
            if isinstance(failure, RunInterrupted):
                raise LeaseLost
            self.heartbeat.secure()
            if failure is None and self.loop.stop_reason == "approval_required":
                self._pause(last_sequence)
                return ()
            standing = self._commit(self._outcome(last_sequence, failure))
        except LeaseLost:  # another worker has the run, or will have it; it also records the usage
            standing = self.finalizer.runs.get(self.run.id)
        except Unavailable as error:
            self.on_defect(error)
            return (error_event(self.run.id, last_sequence + 1, error),)
        except Exception as error:  # noqa: BLE001 - as above
            return (error_event(self.run.id, last_sequence + 1, self._conceal(error)),)
        if standing is None:
            deleted = NotFound("The session was deleted while its turn ran.")
            return (error_event(self.run.id, last_sequence + 1, deleted),)
        if standing.outcome is None:
            return (error_event(self.run.id, last_sequence + 1, RunInterrupted()),)
        self.ended = standing
        return tuple(closing_events(self.run.id, standing.outcome, after=last_sequence))

    def _pause(self, last_sequence: int) -> None:
        self.log.flush(self.clock())
        paused = self.finalizer.pause(self._current(), self.loop.waiting, self.loop.spend)
        self.ended = replace(paused, outcome=self._outcome(last_sequence, None))

    def _commit(self, outcome: Outcome) -> Run | None:
        at, run = self.clock(), self._current()
        for seconds in COMMIT_PAUSES_SECONDS:
            try:
                return self.finalizer.end(run, outcome, at=at)
            except Unavailable:
                self.pause(seconds)
        return self.finalizer.end(run, outcome, at=at)

    def _current(self) -> Run:
        return replace(self.run, reservation=self.started.allowance.reservation)

    def _conceal(self, error: Exception) -> AtriumError:
        self.on_defect(error)
        return AtriumError(internal=type(error).__name__)

    def _cut_short(self) -> AtriumError | None:
        """Return the error of a loop that a lost lease or a timeout before the first answer stopped, or None."""
        match self.loop.stop_reason:
            case "lost":
                return RunInterrupted()
            case "max_seconds" if not self.loop.messages:
                return ModelTimeout()
            case _:
                return None

    def _outcome(self, last_sequence: int, failure: AtriumError | None) -> Outcome:
        loop = self.loop
        statuses: dict[str, RunStatus] = {"cancelled": "cancelled", "approval_required": "waiting_approval"}
        return Outcome(
            status="failed" if failure else statuses.get(loop.stop_reason or "", "succeeded"),
            stop_reason=None if failure else loop.stop_reason,
            spend=loop.spend,
            messages=tuple(loop.messages),
            tail=self.log.take_tail(),
            last_sequence=last_sequence,
            iterations=loop.iterations,
            degraded=loop.degraded,
            model=loop.loop_input.model,
            swept=self.run.epoch > 0,
            summary=loop.loop_input.conversation.own_summary,
            stop_sequence=loop.stop_sequence,
            error=RunError.of(failure) if failure else None,
        )


def digest_system(system: str) -> str:
    """Return the digest with which a worker that resumes a run recognises another system prompt."""
    return sha256(system.encode(errors="replace")).hexdigest()


def _record(steps: StepLog, step: Step) -> None:
    try:
        steps.append(step)
    except LeaseLost as lost:
        raise RunInterrupted from lost


@dataclass(frozen=True, slots=True)
class TurnService:
    """Starts turns of one caller."""

    reader: TurnContextReader
    starter: TurnStarter
    on_defect: Callable[[BaseException], None]

    def begin(self, request: TurnRequest) -> Turn:
        """Start a turn. After an error, all writes are undone. The deadline includes the wait for the session."""
        began = time.monotonic()
        started = self.starter.start(request, self.reader.read(request), self._mint(request))
        caller = self.starter.context
        origin = {
            "caller": to_authorizer_context(caller),
            "source_ip": caller.caller.source_ip,
            "limits": asdict(request.limits),
            "system": digest_system(started.loop_input.system),
            "is_resumable": request.caller is None,  # the options of a caller are not stored
        }
        steps = StepLog(self.starter.runs, started.run.id, self.starter.clock, origin)
        return self.open(started, steps, deadline=began + started.plan.budget.max_seconds)

    def open(
        self,
        started: StartedTurn,
        steps: StepLog,
        *,
        deadline: float,
        resumption: Resumption | None = None,
        after: int = 0,
    ) -> Turn:
        """Return a turn that has been started, or resumed after the stored event `after`."""
        run, signal, starter = started.run, StopSignal(), self.starter
        deadline = max(deadline, time.monotonic() + 1)
        clock, allowance = starter.clock, started.allowance
        log = EventLog(starter.runs, clock, run.id, clock())
        record = partial(_record, steps)
        loop = AgentLoop(
            started.loop_input, allowance, started.plan.provider, signal, clock, deadline, record, resumption
        )
        heartbeat = LeaseHeartbeat(
            run.id, starter.runs, clock, signal, lambda: loop.spend, deadline, self.on_defect,
            lambda: starter.admission.quotas.renew_lease(allowance.reservation),
        )  # fmt: skip
        return Turn(started, loop, signal, heartbeat, log, starter.finalizer, clock, self.on_defect, after)

    def dry_run(self, request: TurnRequest) -> DryRun:
        """Return what a turn would reserve. Raise the errors of `begin`, except `LimitReached` and `SessionBusy`."""
        return self.starter.dry_run(request, self.reader.read(request), self._mint(request))

    def count_tokens(self, request: TurnRequest) -> int:
        """Return the tokens of a turn's first prompt. Raise the errors of `dry_run`, and those of the provider."""
        return self.starter.count_tokens(request, self.reader.read(request), self._mint(request))

    def _mint(self, request: TurnRequest) -> RunId:
        now = self.starter.clock()
        _, session_id = checked_ids(request)
        if request.caller is not None and session_id is None:
            return mint_stateless_run_id(now)
        return mint_run_id(now, session_id or mint_session_id(now))
