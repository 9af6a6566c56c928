"""Replays a run's stored events after a sequence number, then its new events, for a client that reconnects."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from atrium.kernel.ids import RunId
from atrium.runs.model import Outcome, Run, RunEvent, closing_events, start_event
from atrium.runs.store import RunStore, read_stored

REPEATED = 1_000_000_000
"""The increment of the sequence number of a repeated last event. It exceeds all sequence numbers of a run."""
_POLL_SECONDS = 0.5


@dataclass(slots=True)
class Replay:
    """Reads the events of one run. `after` is the sequence number of the last event that the client received."""

    runs: RunStore
    run_id: RunId
    after: int
    ended: bool = False

    def read(self) -> Iterator[RunEvent]:
        """Yield the events after `after`. Set `ended` if the run has ended or does not exist."""
        run = self.runs.get(self.run_id)
        if run is None:
            self.ended = True
            return
        for event in self._available(run):
            self.after = event.sequence
            yield event
        self.ended = not run.is_open

    def follow(self, wait_seconds: float) -> Iterator[RunEvent | None]:
        """Yield new events, and None after each poll, until the run ends or the time is up."""
        deadline = time.monotonic() + wait_seconds
        while True:
            yield from self.read()
            yield None
            left = deadline - time.monotonic()
            if self.ended or left <= 0:
                return
            time.sleep(min(_POLL_SECONDS, left))

    def _available(self, run: Run) -> Iterator[RunEvent]:
        if self.after < 1:
            yield start_event(run)
        for event in read_stored(self.runs, run, after=max(self.after, 1)):
            yield event
        if run.outcome is None:
            return
        for event in run.outcome.tail:
            if event.sequence > self.after:
                yield event
        yield from self._last(run.outcome)

    def _last(self, outcome: Outcome) -> Iterator[RunEvent]:
        """Yield the closing events that the client has not received.

        If the worker failed, a client may have received events that were not stored. Its position can then be past the
        last event, although it has not received that event. The last event is therefore sent again, with `REPEATED`
        added to its sequence number. A client that reconnects with this number has received all events.
        """
        closing = list(closing_events(self.run_id, outcome, after=outcome.last_sequence))
        missing = [event for event in closing if event.sequence > self.after]
        if missing or not outcome.swept:
            yield from missing
        elif self.after < REPEATED:
            yield RunEvent(self.after + REPEATED, closing[-1].type, closing[-1].data)
