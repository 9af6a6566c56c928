"""Reads the request that the gateway received."""

import time
import uuid
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

BODY_BYTES_MAX = 10 * 1024 * 1024
# Some clients report a broken connection if the response arrives before the server has read the whole body.
_READ_BYTES_MAX = 8 * BODY_BYTES_MAX
# Headers with this prefix are set by the gateway or the adapter and removed from client requests.
_FORGEABLE_PREFIX = "x-amzn-"
_FORGEABLE = frozenset({"x-amz-tenant-id"})


class ClientLeft(Exception):
    """Raised if the client closed its connection before it had sent the whole request."""


@dataclass(frozen=True)
class GatewayRequest:
    """An HTTP request. Header names are in lower case.

    `path` is not percent-decoded and does not contain the stage prefix.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str
    too_large: bool = False
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    received_at: float = field(default_factory=time.time)

    def header(self, name: str, default: str = "") -> str:
        """Return the last value of a header, because API Gateway uses the last of repeated headers."""
        return next((value for key, value in reversed(self.headers) if key == name), default)

    @property
    def trace_id(self) -> str:
        """Return the trace header that the gateway adds."""
        return f"Root=1-{int(self.received_at):08x}-{self.request_id.replace('-', '')[:24]}"


async def read_request(scope: Scope, receive: Receive, stage_prefix: str) -> GatewayRequest:
    """Read a request, and remove the headers that only the gateway may set.

    A body that is larger than BODY_BYTES_MAX is discarded. Raises ClientLeft if the client disconnects.
    """
    headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
    body = await _read_body(receive)
    return GatewayRequest(
        method=scope["method"],
        path=raw_path(scope).removeprefix(stage_prefix) or "/",
        query=tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers=tuple((name, value) for name, value in headers if not _is_forgeable(name)),
        body=b"" if body is None else body,
        source_ip=scope["client"][0] if scope.get("client") else "127.0.0.1",
        too_large=body is None,
    )


def raw_path(scope: Scope) -> str:
    """Return the path of a request without percent-decoding."""
    sent: bytes = scope.get("raw_path") or scope["path"].encode()
    return sent.partition(b"?")[0].decode("latin-1")


def _is_forgeable(name: str) -> bool:
    return name.startswith(_FORGEABLE_PREFIX) or name in _FORGEABLE


async def _read_body(receive: Receive) -> bytes | None:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientLeft
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size <= BODY_BYTES_MAX:
            pieces.append(piece)
        if not message.get("more_body", False) or size > _READ_BYTES_MAX:
            return b"".join(pieces) if size <= BODY_BYTES_MAX else None
