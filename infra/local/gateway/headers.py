"""Converts response headers as a REST API does: renames some headers and removes connection headers."""

from collections.abc import Iterable

_CONNECTION = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_RENAMED = frozenset({"authorization", "content-md5", "date", "host", "server", "user-agent", "www-authenticate"})


def answer_headers(headers: Iterable[tuple[str, str]], request_id: str, trace_id: str) -> list[tuple[str, str]]:
    """Return the headers that the client receives, in lower case, including the headers that the gateway adds."""
    kept = []
    for name, value in headers:
        lower = name.lower()
        if lower in _CONNECTION:
            continue
        kept.append((f"x-amzn-remapped-{lower}" if lower in _RENAMED else lower, value))
    return [*kept, ("x-amzn-requestid", request_id), ("x-amzn-trace-id", trace_id)]


def raw_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return the headers as pairs of bytes, which is the format of ASGI."""
    return [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers]
