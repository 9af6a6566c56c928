"""The thread that owns a turn, and the queue to the loop that streams it.

The queue is short, so a slow reader slows the model down, not the memory up. A reader that left is no
longer waited for: the turn goes on to its end.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import TimeoutError as WaitTimeout

from atrium.agent.turn import Turn
from atrium.runs.model import RunEvent

_QUEUED_MAX = 64
_LOOK_SECONDS = 1.0


class TurnWorker:
    """Runs a turn in its own thread from the moment of construction."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[RunEvent | None] = asyncio.Queue(_QUEUED_MAX)
        self._reader_left = threading.Event()
        self._thread = threading.Thread(target=self._work, name="turn", daemon=False)
        self._thread.start()

    async def events(self, idle_seconds: float) -> AsyncIterator[RunEvent | None]:
        """Yield the events; None whenever nothing came for `idle_seconds`."""
        try:
            while True:
                try:
                    event = await asyncio.wait_for(self._queue.get(), idle_seconds)
                except TimeoutError:
                    yield None
                    continue
                if event is None:
                    return
                yield event
        finally:
            self._leave()

    def _leave(self) -> None:
        self._reader_left.set()
        while not self._queue.empty():
            self._queue.get_nowait()

    def _work(self) -> None:
        try:
            for event in self._turn.events():
                self._offer(event)
        finally:
            self._offer(None)

    def _offer(self, event: RunEvent | None) -> None:
        """Hand one event over, waiting as long as somebody reads and the turn has time."""
        if self._reader_left.is_set():
            return
        try:
            offered = asyncio.run_coroutine_threadsafe(self._queue.put(event), self._loop)
        except RuntimeError:  # the loop is closed: nobody reads any more
            self._reader_left.set()
            return
        while not self._reader_left.is_set():
            try:
                offered.result(_LOOK_SECONDS)
            except WaitTimeout:
                if self._turn.signal.cause is not None:
                    self._reader_left.set()  # the turn's time is over; what is not read by now is replayed
                continue
            return
        offered.cancel()
