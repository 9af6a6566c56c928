"""Requests and responses of outbound calls. Headers are validated, and the size of response bodies is limited."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpcore2

from atrium.egress.destination import Destination
from atrium.egress.failures import OutboundFailed, OutboundRefused

BYTES_MAX = 1_048_576
SECONDS_MAX = 10.0
REDIRECTS_MAX = 3

USER_AGENT = "Atrium"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e\x80-\xff]?(?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?")
_RESERVED_HEADERS = frozenset({
    "host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect",
    "accept-encoding", "proxy-authorization", "proxy-connection",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """An outbound HTTP request.

    `seconds_max` limits the total time including redirects; `bytes_max` limits the response body.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds_max: float = SECONDS_MAX
    bytes_max: int = BYTES_MAX
    redirects_max: int = REDIRECTS_MAX


@dataclass(frozen=True, slots=True)
class OutboundResponse:
    """An HTTP response with any status. Header names are in lower case; repeated headers are joined by commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with names in lower case; raise `OutboundRefused` for an invalid or reserved header."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value) or name.lower() in _RESERVED_HEADERS:
            raise OutboundRefused("header", "a header is malformed, or its name is reserved for the client")
    return {name.lower(): value for name, value in headers.items()}


def check_method(method: str) -> str:
    """Return a method in upper case; raise `OutboundRefused` for an invalid method."""
    if not _TOKEN.fullmatch(method) or method.upper() == "CONNECT":
        raise OutboundRefused("header", "the method must be a valid HTTP method other than CONNECT")
    return method.upper()


def wire_headers(there: Destination, method: str, headers: Mapping[str, str], body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of one request: the caller's headers and the headers that the client sets."""
    ours = {"host": there.authority, "user-agent": USER_AGENT, "accept": "*/*", **headers}
    ours |= {"accept-encoding": "identity", "connection": "close"}
    if body or method in ("POST", "PUT", "PATCH"):
        ours["content-length"] = str(len(body))
    return [(name.encode(), value.encode("latin-1")) for name, value in ours.items()]


def read_answer(answer: httpcore2.Response, url: str, bytes_max: int) -> OutboundResponse:
    """Read a response; raise `OutboundFailed` as soon as the body exceeds `bytes_max`."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in answer.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise OutboundFailed("encoding", "the response is compressed although the request did not allow it")
    body = bytearray()
    for chunk in answer.iter_stream():
        body += chunk
        if len(body) > bytes_max:
            raise OutboundFailed("too_large", f"the response is longer than {bytes_max} bytes")
    return OutboundResponse(answer.status, headers, bytes(body), url)
