"""The line to a provider during one call: it has a deadline, and any thread can cut it at any moment.

A blocked read does not notice that its file is closed, but does notice that its socket is shut down. The socket
is learnt from httpx's `trace` extension as soon as it is connected, so that a call which still waits for its first
byte can be cut, too. Only while a connection is being made is a cut as slow as `CONNECT_SECONDS`.
"""

import socket
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self

type CutCause = Literal["closed", "deadline"]

CONNECT_SECONDS = 3.0


class LineCut(Exception):
    """Raised into an HTTP client that begins something on a line which is cut."""


class Line:
    """Enter it to let the deadline run; `deadline_seconds` count from the making."""

    def __init__(self, deadline_seconds: float) -> None:
        self._ends = time.monotonic() + deadline_seconds
        self._lock = threading.Lock()
        self._cut = threading.Event()
        self._cause: CutCause | None = None
        self._socket: socket.socket | None = None
        self._timer: threading.Timer | None = None

    def is_closed(self) -> bool:
        """Tell whether somebody closed the line before its deadline."""
        return self._cause == "closed"

    def is_expired(self) -> bool:
        """Tell whether the deadline cut the line."""
        return self._cause == "deadline"

    @property
    def remaining_seconds(self) -> float:
        return max(0.0, self._ends - time.monotonic())

    def cut(self, cause: CutCause) -> None:
        """End whatever is under way on the line, and all that would come; from any thread. The first cause stands."""
        with self._lock:
            if self._cause is None:
                self._cause = cause
            self._cut.set()
            if self._socket is not None:
                _shut_down(self._socket)

    def wait(self, seconds: float) -> bool:
        """Sleep, but not on a line that is cut; returns whether it is."""
        return self._cut.wait(seconds)

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow a request's events (httpx's `trace` extension)."""
        if event.endswith(".response_closed.started"):
            self._attach(None)
        elif event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._attach(info["return_value"].get_extra_info("socket"))
        elif event.endswith(".started") and self._cut.is_set():
            raise LineCut

    def _attach(self, connected: socket.socket | None) -> None:
        with self._lock:
            self._socket = connected
            if connected is not None and self._cut.is_set():
                _shut_down(connected)

    def __enter__(self) -> Self:
        self._timer = threading.Timer(self.remaining_seconds, self.cut, ("deadline",))
        self._timer.name, self._timer.daemon = "model-deadline", True
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
            self._timer = None
        self._attach(None)


def _shut_down(connected: socket.socket) -> None:
    try:
        # The plain socket's method: that of a TLS socket drops state which the blocked reader still uses.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
    except OSError:
        return  # closed by its owner in the meantime
