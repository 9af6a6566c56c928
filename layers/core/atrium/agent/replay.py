"""A run's events from any number on, for a client that comes back: what is stored, then what still comes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from atrium.agent.wire import closing_events, start_event
from atrium.kernel.ids import RunId
from atrium.runs.events import read_stored
from atrium.runs.model import Run, RunEvent
from atrium.runs.store import RunStore

_POLL_SECONDS = 0.5


@dataclass(slots=True)
class Replay:
    """A reader of one run's events. `after` is the last number that its client has; it moves on with each event."""

    runs: RunStore
    run_id: RunId
    after: int
    ended: bool = False

    def read(self) -> Iterator[RunEvent]:
        """Yield what is new by now; `ended` is set once the last event was given."""
        run = self.runs.get(self.run_id)
        if run is None:
            self.ended = True
            return
        for event in self._available(run):
            self.after = event.sequence
            yield event
        self.ended = not run.is_open

    def follow(self, wait_seconds: float) -> Iterator[RunEvent | None]:
        """Yield events as they come, and None at each look that found nothing, until the run's end or the time's."""
        deadline = time.monotonic() + wait_seconds
        while not self.ended:
            yield None
            yield from self.read()
            if self.ended or time.monotonic() >= deadline:
                return
            time.sleep(_POLL_SECONDS)

    def _available(self, run: Run) -> Iterator[RunEvent]:
        if self.after < 1:
            yield start_event(run)
        first = max(self.after, 1)
        for event in read_stored(self.runs.table, self.runs.blobs, run.id, after=first):
            first = event.sequence
            yield event
        if run.outcome is None:
            return
        for event in run.outcome.tail:
            if event.sequence > first:
                first = event.sequence
                yield event
        yield from self._last(run)

    def _last(self, run: Run) -> Iterator[RunEvent]:
        """Close the stream even for a client that saw more than a dead worker could store."""
        closing = list(closing_events(run))
        missing = [event for event in closing if event.sequence > self.after]
        if missing or not closing or run.outcome is None:
            yield from missing
        elif self.after > closing[-1].sequence:
            yield RunEvent(self.after + 1, closing[-1].type, closing[-1].data)
