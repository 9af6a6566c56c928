"""The thread that runs a turn, and the queue to the event loop that streams its events.

The size of the queue is limited, so a slow client slows the turn down and does not increase memory. If the client
disconnects or is too slow for the turn's deadline, the turn continues without sending events. The client can read the
missed events later.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as WaitTimeout
from contextvars import copy_context

from atrium.agent.turn import Turn
from atrium.http.logs import record_run
from atrium.runs.model import RunEvent

QUEUED_MAX = 64
_LOOK_SECONDS = 1.0


class TurnWorker:
    """Runs a turn in a separate thread, which the constructor starts."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[RunEvent | None] = asyncio.Queue(QUEUED_MAX)
        self._reader_left = threading.Event()
        # Copy the call's context, so that the turn's log lines have its tenant and request id.
        self._thread = threading.Thread(target=copy_context().run, args=(self._work,), name="turn")
        self._thread.start()

    async def events(self, idle_seconds: float) -> AsyncIterator[RunEvent | None]:
        """Yield the events, and None whenever there was no event for `idle_seconds`."""
        while True:
            try:
                event = await asyncio.wait_for(self._queue.get(), idle_seconds)
            except TimeoutError:
                if self._reader_left.is_set():
                    return
                yield None
                continue
            if event is None:
                return
            yield event

    def leave(self) -> None:
        """Stop reading events. Must be called in the event loop when the response ends, even if no event was read."""
        self._reader_left.set()
        while not self._queue.empty():
            self._queue.get_nowait()

    def _work(self) -> None:
        try:
            for event in self._turn.events():
                self._offer(event)
            record_run(self._turn.ended)
        finally:
            self._offer(None)

    def _offer(self, event: RunEvent | None) -> None:
        """Put one event into the queue. Wait for space while there is a reader and the turn has not ended."""
        if self._reader_left.is_set():
            return
        put = self._queue.put(event)
        try:
            offered = asyncio.run_coroutine_threadsafe(put, self._loop)
        except RuntimeError:  # the loop is closed
            put.close()
            self._reader_left.set()
            return
        while not self._reader_left.is_set():
            try:
                offered.result(_LOOK_SECONDS)
            except WaitTimeout:
                if self._turn.signal.cause is not None or self._loop.is_closed():
                    self._reader_left.set()
            except CancelledError:  # the loop is being closed
                self._reader_left.set()
            else:
                return
        offered.cancel()
        if self._loop.is_closed():
            put.close()  # a coroutine submitted while the loop closes is never started
