"""One turn, from the validated request to the recorded answer: resolve, (admit), open, loop, close.

`TurnService.begin` refuses before anything is written, or returns a `Turn` that is open. `Turn.events` must
then be iterated to its end by one thread, whatever becomes of the client: it ends the run.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from atrium.agent.closing import RunCloser
from atrium.agent.heart import Heart
from atrium.agent.history import select_history
from atrium.agent.loop import AgentLoop
from atrium.agent.opening import TurnOpener
from atrium.agent.request import TurnRequest
from atrium.agent.resolve import Resolver
from atrium.agent.signals import StopSignal
from atrium.agent.wire import Sequencer, closing_events, start_event
from atrium.kernel.clock import Clock
from atrium.kernel.errors import AtriumError, ModelTimeout, RunInterrupted
from atrium.runs.events import EventLog
from atrium.runs.model import Outcome, Run, RunError, RunEvent
from atrium.runs.store import RunStore


@dataclass(slots=True)
class Turn:
    """An open turn. `signal` stops it from any thread."""

    run: Run
    loop: AgentLoop
    signal: StopSignal
    heart: Heart
    log: EventLog
    closer: RunCloser
    on_defect: Callable[[BaseException], None]

    def events(self) -> Iterator[RunEvent]:
        """Yield the run's events, first `start`, last `final` or `error`; the run is committed before the last."""
        yield start_event(self.run)
        sequencer = Sequencer(after=1)
        failure: AtriumError | None = None
        with self.heart:
            try:
                for piece in self.loop.run():
                    event = sequencer.number(piece)
                    self.log.append(event)
                    yield event
            except AtriumError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - the run must end and the client must hear of it
                self.on_defect(error)
                failure = AtriumError(internal=type(error).__name__)
        yield from self._close(sequencer.last, failure)

    def _close(self, last_sequence: int, failure: AtriumError | None) -> Iterator[RunEvent]:
        failure = failure or self._cut_short()
        if failure is not None:
            self.on_defect(failure)
        outcome = self._outcome(last_sequence, failure)
        if not self.closer.end(self.run, outcome):
            current = self.closer.runs.get(self.run.id)
            interrupted = RunInterrupted()
            error = RunError(interrupted.code, interrupted.detail)
            outcome = current.outcome if current and current.outcome else replace(outcome, status="failed", error=error)
            outcome = replace(outcome, last_sequence=last_sequence)
        yield from closing_events(self.run.ended(outcome, self.loop.clock()))

    def _cut_short(self) -> AtriumError | None:
        """Tell whether the signal's cause is a failure: the lease was lost, or time went by without an answer."""
        match self.signal.cause:
            case "lost":
                return RunInterrupted()
            case "max_seconds" if not self.loop.messages:
                return ModelTimeout()
            case _:
                return None

    def _outcome(self, last_sequence: int, failure: AtriumError | None) -> Outcome:
        loop = self.loop
        cancelled = self.signal.cause == "cancelled" and failure is None
        return Outcome(
            status="failed" if failure else "cancelled" if cancelled else "succeeded",
            stop_reason=None if failure else loop.stop_reason,
            spend=loop.spend,
            messages=tuple(loop.messages),
            tail=self.log.take_tail(),
            last_sequence=last_sequence,
            iterations=loop.iterations,
            error=RunError(failure.code, failure.detail) if failure else None,
        )


@dataclass(frozen=True, slots=True)
class TurnService:
    """Begins turns of one caller."""

    resolver: Resolver
    opener: TurnOpener
    closer: RunCloser
    runs: RunStore
    clock: Clock
    on_defect: Callable[[BaseException], None]

    def begin(self, request: TurnRequest) -> Turn:
        """Open a turn, or refuse with nothing written."""
        began = time.monotonic()
        resolved = self.resolver.resolve(request)
        opened = self.opener.open(request, resolved)
        signal = StopSignal()
        run, plan = opened.run, opened.plan
        seconds = max(1.0, plan.budget.max_seconds - (time.monotonic() - began))
        history = (*select_history(opened.runs), run.question)
        loop = AgentLoop(plan.loop_input(history), plan.provider, signal, self.clock, seconds)
        heart = Heart(
            run.id,
            runs=self.runs,
            clock=self.clock,
            signal=signal,
            spend=lambda: loop.spend,
            max_seconds=seconds,
        )
        log = EventLog(self.runs.table, self.runs.blobs, self.clock, run.id, self.clock())
        return Turn(run, loop, signal, heart, log, self.closer, self.on_defect)
