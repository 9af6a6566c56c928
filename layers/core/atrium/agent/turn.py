"""One turn, from the validated request to the recorded answer: resolve, admit, open, loop, close.

`TurnService.begin` refuses before anything is written, or returns a `Turn` that is open. `Turn.events` must
then be iterated to its end by one thread, whatever becomes of the client: it ends the run.
"""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace

from atrium.agent.context import TurnContextReader, checked_ids
from atrium.agent.finalizing import RunFinalizer
from atrium.agent.heartbeat import LeaseHeartbeat
from atrium.agent.loop import AgentLoop
from atrium.agent.request import TurnRequest
from atrium.agent.signals import StopSignal
from atrium.agent.starting import DryRun, StartedTurn, TurnStarter
from atrium.agent.steps import ToolAnswered
from atrium.agent.wire import Sequencer, closing_events, error_event, start_event
from atrium.kernel.clock import Clock
from atrium.kernel.errors import AtriumError, ModelTimeout, NotFound, RunInterrupted, Unavailable
from atrium.kernel.ids import RunId, mint_run_id, mint_session_id
from atrium.runs.events import EventLog
from atrium.runs.model import Outcome, Run, RunError, RunEvent, RunStatus

COMMIT_PAUSES_SECONDS = (1.0, 3.0)
"""How long to wait before an answer that could not be stored is stored again."""


@dataclass(slots=True)
class Turn:
    """A turn that was started. `signal` stops it from any thread; `ended` is its run once it was committed."""

    started: StartedTurn
    loop: AgentLoop
    signal: StopSignal
    heartbeat: LeaseHeartbeat
    log: EventLog
    finalizer: RunFinalizer
    clock: Clock
    on_defect: Callable[[BaseException], None]
    pause: Callable[[float], None] = time.sleep
    ended: Run | None = None

    @property
    def run(self) -> Run:
        """The run as it was recorded at its start."""
        return self.started.run

    def events(self) -> Generator[RunEvent]:
        """Yield the run's events, first `start`, last `final` or `error`.

        The run is committed before `usage` and `final`, or before its `error`; only where the table refuses the commit
        itself is the error the client's alone, and the run is left to the sweeper.
        """
        yield start_event(self.run)
        sequencer = Sequencer(after=1)
        failure: AtriumError | None = None
        with self.heartbeat:
            try:
                with closing(self.loop.run()) as pieces:
                    for piece in pieces:
                        if isinstance(piece, ToolAnswered) and piece.answer.defect is not None:
                            self.on_defect(piece.answer.defect)
                        event = sequencer.number(piece)
                        self.log.append(event)
                        yield event
            except AtriumError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - the run must end and the client must hear of it
                failure = self._conceal(error)
            last_events = self._close(sequencer.last, failure)
        yield from last_events

    def _close(self, last_sequence: int, failure: AtriumError | None) -> tuple[RunEvent, ...]:
        """Commit the run; return the events that its end gives."""
        failure = failure or self._cut_short()
        if failure is not None:
            self.on_defect(failure)
        try:
            standing = self._commit(self._outcome(last_sequence, failure))
        except Unavailable as error:
            self.on_defect(error)
            return (error_event(last_sequence + 1, error),)
        except Exception as error:  # noqa: BLE001 - as above
            return (error_event(last_sequence + 1, self._conceal(error)),)
        if standing is None:
            return (error_event(last_sequence + 1, NotFound("The session was deleted while its turn ran.")),)
        if standing.outcome is None:
            return (error_event(last_sequence + 1, RunInterrupted()),)
        self.ended = standing
        return tuple(closing_events(standing.outcome, after=last_sequence))

    def _commit(self, outcome: Outcome) -> Run | None:
        at = self.clock()
        run = replace(self.run, reservation=self.started.allowance.reservation)
        for seconds in COMMIT_PAUSES_SECONDS:
            try:
                return self.finalizer.end(run, outcome, at=at)
            except Unavailable:
                self.pause(seconds)
        return self.finalizer.end(run, outcome, at=at)

    def _conceal(self, error: Exception) -> AtriumError:
        self.on_defect(error)
        return AtriumError(internal=type(error).__name__)

    def _cut_short(self) -> AtriumError | None:
        """Tell whether the loop stopped for a failure: the lease was lost, or time went by without an answer."""
        match self.loop.stop_reason:
            case "lost":
                return RunInterrupted()
            case "max_seconds" if not self.loop.messages:
                return ModelTimeout()
            case _:
                return None

    def _outcome(self, last_sequence: int, failure: AtriumError | None) -> Outcome:
        loop = self.loop
        status: RunStatus = "cancelled" if loop.stop_reason == "cancelled" else "succeeded"
        return Outcome(
            status="failed" if failure else status,
            stop_reason=None if failure else loop.stop_reason,
            spend=loop.spend,
            messages=tuple(loop.messages),
            tail=self.log.take_tail(),
            last_sequence=last_sequence,
            iterations=loop.iterations,
            error=RunError.of(failure) if failure else None,
        )


@dataclass(frozen=True, slots=True)
class TurnService:
    """Begins turns of one caller."""

    reader: TurnContextReader
    starter: TurnStarter
    on_defect: Callable[[BaseException], None]

    def begin(self, request: TurnRequest) -> Turn:
        """Start a turn, or refuse with nothing written. Its time runs from here, waiting for the session included."""
        began = time.monotonic()
        started = self.starter.start(request, self.reader.read(request), self._mint(request))
        run, signal, starter = started.run, StopSignal(), self.starter
        deadline = max(began + started.plan.budget.max_seconds, time.monotonic() + 1)
        clock, allowance = starter.clock, started.allowance
        loop = AgentLoop(started.loop_input, allowance, started.plan.provider, signal, clock, deadline)
        heartbeat = LeaseHeartbeat(
            run.id, starter.runs, clock, signal, lambda: loop.spend, deadline, self.on_defect,
            lambda: starter.admission.quotas.renew_lease(allowance.reservation),
        )  # fmt: skip
        log = EventLog(starter.runs.table, starter.runs.blobs, clock, run.id, clock())
        return Turn(started, loop, signal, heartbeat, log, starter.finalizer, clock, self.on_defect)

    def dry_run(self, request: TurnRequest) -> DryRun:
        """Try a turn out; what is no limit refuses as it would the turn: `NotFound`, `ModelNotAllowed`, …"""
        return self.starter.dry_run(request, self.reader.read(request), self._mint(request))

    def _mint(self, request: TurnRequest) -> RunId:
        now = self.starter.clock()
        _, session_id = checked_ids(request)
        return mint_run_id(now, session_id or mint_session_id(now))
