"""Cross-origin headers. The gateway answers preflights on AWS; one that arrives here is answered alike."""

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Scope

ALLOWED_HEADERS = ", ".join([
    "authorization", "x-api-key", "x-tenant-id", "content-type",
    "idempotency-key", "last-event-id", "traceparent", "anthropic-version",
])  # fmt: skip
ALLOWED_METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
EXPOSED_HEADERS = "x-request-id, location, retry-after, ratelimit, ratelimit-policy, idempotency-replayed"
_MAX_AGE_SECONDS = 7200


def is_preflight(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return scope["method"] == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def allow_origin(headers: MutableHeaders, origin: str | None, origins: Sequence[str]) -> None:
    """Add what lets a page of an allowed origin read the answer; credentials are headers, so no cookie is allowed."""
    if "*" in origins:
        headers["Access-Control-Allow-Origin"] = "*"
    else:
        headers.add_vary_header("Origin")
        if origin is None or origin not in origins:
            return
        headers["Access-Control-Allow-Origin"] = origin
    headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS


def allow_preflight(headers: MutableHeaders) -> None:
    headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
    headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
    headers["Access-Control-Max-Age"] = str(_MAX_AGE_SECONDS)
