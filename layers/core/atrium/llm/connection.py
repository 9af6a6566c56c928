"""The HTTP clients of the model SDKs, and the connection to a provider during one call.

The connection has a deadline, and any thread can cancel it. Closing the response does not interrupt a thread that is
blocked reading from it, but shutting down the socket does. httpx's `trace` extension provides the socket as soon as
it is connected, so a call that waits for its first byte can also be cancelled. While the connection is being
established, cancelling can take up to `CONNECT_SECONDS`.

All adapters use SDKs that are based on httpx2. An adapter sets `connection_of_call` while it sends a request, and the
client then registers that connection, so that any thread can cancel the call.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, Literal, Self

import httpx2

type CancelCause = Literal["closed", "deadline"]

CONNECT_SECONDS = 3.0


class ConnectionCancelled(Exception):
    """Raised when an HTTP client starts a step of a request on a cancelled connection."""


class CancellableConnection:
    """A cancellable connection with a deadline. `deadline_seconds` is counted from the creation of the object.

    The deadline is applied only inside the `with` block.
    """

    def __init__(self, deadline_seconds: float) -> None:
        self.seconds = deadline_seconds
        self._ends = time.monotonic() + deadline_seconds
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._cause: CancelCause | None = None
        self._socket: socket.socket | None = None
        self._timer: threading.Timer | None = None

    def is_closed(self) -> bool:
        """Return whether the connection was closed before its deadline."""
        return self._cause == "closed"

    def is_expired(self) -> bool:
        """Return whether the deadline cancelled the connection."""
        return self._cause == "deadline"

    @property
    def remaining_seconds(self) -> float:
        return max(0.0, self._ends - time.monotonic())

    def cancel(self, cause: CancelCause) -> None:
        """Shut down the socket and reject further steps. Can be called from any thread. Only the first cause is
        recorded.
        """
        with self._lock:
            if self._cause is None:
                self._cause = cause
            self._cancelled.set()
            if self._socket is not None:
                _shut_down(self._socket)

    def wait(self, seconds: float) -> bool:
        """Sleep until the time is up or the connection is cancelled. Return whether it is cancelled."""
        return self._cancelled.wait(seconds)

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Handle the events of a request (httpx's `trace` extension)."""
        if event.endswith(".response_closed.started"):
            self._attach(None)
        elif event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._attach(info["return_value"].get_extra_info("socket"))
        elif event.endswith(".started") and self._cancelled.is_set():
            raise ConnectionCancelled

    def _attach(self, connected: socket.socket | None) -> None:
        with self._lock:
            self._socket = connected
            if connected is not None and self._cancelled.is_set():
                _shut_down(connected)

    def __enter__(self) -> Self:
        self._timer = threading.Timer(self.remaining_seconds, self.cancel, ("deadline",))
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
        # The plain socket's method is used, because the TLS socket's method drops state that the blocked reader still
        # uses.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
    except OSError:
        return  # already closed by its owner


ERROR_BYTES_MAX = 65_536

connection_of_call: ContextVar[CancellableConnection | None] = ContextVar("connection_of_call", default=None)


def make_http_client(
    kind: Callable[..., httpx2.Client], transport: httpx2.BaseTransport | None = None
) -> httpx2.Client:
    """Return an HTTP client, which all threads share. `kind` is the SDK's client class.

    Connections are not reused. A connection that was idle while the function was frozen would fail the next call, and a
    reused connection does not report its socket to the trace. A new connection costs two round trips. Redirects are not
    followed, because they could send the key to another host. Cookies are not kept, because calls with the API keys of
    different tenants share the client.
    """
    options: dict[str, Any] = {} if transport is None else {"transport": transport}
    client = kind(
        limits=httpx2.Limits(max_connections=1_000, max_keepalive_connections=0),
        event_hooks={"request": [_attach_connection], "response": [_truncate_error]},
        follow_redirects=False,
        **options,
    )
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
    return client


@cache
def shared_http_client(kind: Callable[..., httpx2.Client]) -> httpx2.Client:
    """Return the process's HTTP client of a kind. A client takes 0.8 MB and 40 ms, mostly for certificates, so the
    adapters of all API keys share it.
    """
    return make_http_client(kind)


class KeyedClient[Client]:
    """Returns the client for the current API key: a new client after the key was rotated. Thread-safe."""

    def __init__(self, make: Callable[[str], Client], api_key: Callable[[], str]) -> None:
        self._make, self._api_key = make, api_key
        self._lock = threading.Lock()
        self._made: tuple[str, Client] | None = None

    def __call__(self) -> Client:
        key = self._api_key()
        with self._lock:
            if self._made is None or self._made[0] != key:
                self._made = key, self._make(key)
            return self._made[1]


class _Truncated(httpx2.SyncByteStream):
    """A response body, truncated to its first bytes."""

    def __init__(self, body: httpx2.SyncByteStream, bytes_max: int) -> None:
        self._body, self._left = body, bytes_max

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            yield chunk[: self._left]
            self._left -= len(chunk)
            if self._left <= 0:
                return

    def close(self) -> None:
        self._body.close()


def _attach_connection(request: httpx2.Request) -> None:
    """Register the call's connection as the trace of its request."""
    connection = connection_of_call.get()
    if connection is not None:
        request.extensions["trace"] = connection.trace


def _truncate_error(response: httpx2.Response) -> None:
    """Limit the body of an error response, because the SDK reads it completely."""
    if not response.is_success and isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = _Truncated(response.stream, ERROR_BYTES_MAX)
