"""The HTTP clients of the model SDKs, and the connection of the current call.

All adapters use SDKs that are based on httpx2. An adapter sets `connection_of_call` while it sends a request, and the
client then registers that connection, so that any thread can cancel the call.
"""

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import httpx2

from atrium.llm.connection import CancellableConnection

ERROR_BYTES_MAX = 65_536

connection_of_call: ContextVar[CancellableConnection | None] = ContextVar("connection_of_call", default=None)


def make_http_client(
    kind: Callable[..., httpx2.Client], transport: httpx2.BaseTransport | None = None
) -> httpx2.Client:
    """Return an HTTP client, which all threads share. `kind` is the SDK's client class.

    Connections are not reused. A connection that was idle while the function was frozen would fail the next call, and a
    reused connection does not report its socket to the trace. A new connection costs two round trips. Redirects are not
    followed, because they could send the key to another host.
    """
    options: dict[str, Any] = {} if transport is None else {"transport": transport}
    return kind(
        limits=httpx2.Limits(max_connections=1_000, max_keepalive_connections=0),
        event_hooks={"request": [_attach_connection], "response": [_truncate_error]},
        follow_redirects=False,
        **options,
    )


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
