"""Stops a turn from another thread: keeps the cause, and closes the running model call."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from atrium.llm.model import ModelStream

type StopCause = Literal["cancelled", "max_seconds", "lost"]


class StopSignal:
    """Set once, from any thread; the first cause is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cause: StopCause | None = None
        self._stream: ModelStream | None = None
        self._set = threading.Event()

    @property
    def cause(self) -> StopCause | None:
        return self._cause

    def stop(self, cause: StopCause) -> None:
        """Stop the turn, and close the model call that is under way. Later causes change nothing."""
        with self._lock:
            if self._cause is not None:
                return
            self._cause = cause
            stream = self._stream
        self._set.set()
        if stream is not None:
            stream.close()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until the turn is stopped; False after the time."""
        return self._set.wait(timeout_seconds)

    @contextmanager
    def closing(self, stream: ModelStream) -> Iterator[ModelStream]:
        """Register a model call for the block, so that `stop` can close it; it is closed at the end in any case."""
        with self._lock:
            self._stream = stream
            stopped = self._cause is not None
        if stopped:
            stream.close()
        try:
            yield stream
        finally:
            with self._lock:
                self._stream = None
            stream.close()
