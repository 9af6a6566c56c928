"""The context of a call: the gateway's request context and the verified caller.

Behind Mangum, the gateway's context is part of the Lambda event. Behind the Lambda Web Adapter, the context is in a
header that the adapter overwrites. The application, not the request, determines which source is used. An
`x-amzn-request-context` header that a client sends has no effect on a function behind Mangum.
"""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from atrium.identity.context import read_authorizer_context
from atrium.kernel.errors import Unauthenticated
from atrium.tenants.context import Caller, TenantContext

type ContextSource = Literal["event", "adapter"]

_TRACE_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_BASE_PATH = re.compile(r"/[A-Za-z0-9_-]{1,128}")
_DOMAIN = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?")
_USER_AGENT_MAX = 256
SCOPE_KEY = "atrium.gateway_context"
_CALL_KEY = "atrium.call"


@dataclass(frozen=True, slots=True)
class GatewayContext:
    """The gateway's data about a call. `authorizer` is None for routes without an authorizer.

    `base_path` is the part of the external path before the route's path (a stage, such as `/dev`); it is empty at the
    root of a domain. `domain` is the requested host. `ends_at_ms` is the time at which the function will be stopped
    (epoch milliseconds), if it is known.
    """

    request_id: str
    authorizer: Mapping[str, Any] | None = None
    source_ip: str = ""
    user_agent: str = ""
    trace_parent: str = ""
    base_path: str = ""
    domain: str = ""
    ends_at_ms: int | None = None

    @property
    def trace_id(self) -> str:
        return self.trace_parent[3:35]


def read_gateway_context(scope: Scope, source: ContextSource, *, now_ms: int) -> GatewayContext:
    """Return the gateway's context of a request.

    Missing and malformed values become empty. A missing request id is replaced by a random UUID.
    """
    headers = Headers(scope=scope)
    context = _event_context(scope) if source == "event" else _single_json(headers, "x-amzn-request-context")
    ends_at_ms = _event_end(scope, now_ms) if source == "event" else _adapter_end(headers)
    trace_parent = headers.get("traceparent", "")
    return GatewayContext(
        request_id=_request_id(context),
        authorizer=_authorizer(context),
        source_ip=_text(_mapping(context.get("identity")).get("sourceIp")),
        user_agent=headers.get("user-agent", "")[:_USER_AGENT_MAX],
        trace_parent=trace_parent if _TRACE_PARENT.fullmatch(trace_parent) else "",
        base_path=_base_path(context, scope),
        domain=read_domain(context),
        ends_at_ms=ends_at_ms,
    )


def _event_context(scope: Scope) -> Mapping[str, Any]:
    return _mapping(_mapping(scope.get("aws.event")).get("requestContext"))


def _event_end(scope: Scope, now_ms: int) -> int | None:
    remaining = getattr(scope.get("aws.context"), "get_remaining_time_in_millis", None)
    return now_ms + int(remaining()) if callable(remaining) else None


def _adapter_end(headers: Headers) -> int | None:
    deadline = _single_json(headers, "x-amzn-lambda-context").get("deadline")
    return deadline if isinstance(deadline, int) else None


def _single_json(headers: Headers, name: str) -> Mapping[str, Any]:
    """Return the JSON object in a header, or an empty mapping unless the header occurs exactly once.

    If a header occurs twice, the client sent one of the values.
    """
    values = headers.getlist(name)
    if len(values) != 1:
        return {}
    try:
        return _mapping(json.loads(values[0]))
    except ValueError:
        return {}


def _authorizer(context: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the authorizer's context as a flat mapping. The adapter may nest it under `lambda`."""
    found = _mapping(context.get("authorizer"))
    flat = _mapping(found.get("lambda")) or found
    return flat if "principal_type" in flat else None


def _base_path(context: Mapping[str, Any], scope: Scope) -> str:
    outside, inside = unquote(_text(context.get("path"))).rstrip("/"), scope["path"].rstrip("/")
    before = outside.removesuffix(inside) if outside.endswith(inside) else ""
    return before if _BASE_PATH.fullmatch(before) else ""


def read_domain(context: Mapping[str, Any]) -> str:
    """Return the requested host, which the gateway has verified, with the port if there is one."""
    domain = _text(context.get("domainName"))
    return domain if _DOMAIN.fullmatch(domain) else ""


def _request_id(context: Mapping[str, Any]) -> str:
    given = _text(context.get("requestId"))
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def request_gateway_context(request: Request) -> GatewayContext:
    gateway_context: GatewayContext = request.scope[SCOPE_KEY]
    return gateway_context


def read_call(request: Request) -> TenantContext | Caller:
    """Return the tenant context of a call, or only the caller for a platform credential without a tenant.

    Raises `Unauthenticated` if the route has no authorizer.
    """
    known: TenantContext | Caller | None = request.scope.get(_CALL_KEY)
    if known is not None:
        return known
    gateway_context = request_gateway_context(request)
    if gateway_context.authorizer is None:
        raise Unauthenticated
    call = read_authorizer_context(
        gateway_context.authorizer,
        request_id=gateway_context.request_id,
        source_ip=gateway_context.source_ip,
        user_agent=gateway_context.user_agent,
        trace_parent=gateway_context.trace_parent,
    )
    request.scope[_CALL_KEY] = call
    return call
