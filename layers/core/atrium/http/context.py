"""The caller's context: read once per call from the authorizer's flat fields, kept on the request."""

from starlette.requests import Request

from atrium.http.gateway_context import SCOPE_KEY, GatewayContext
from atrium.identity.context import read_authorizer_context
from atrium.kernel.errors import Unauthenticated
from atrium.tenants.context import Caller, TenantContext

_CALL_KEY = "atrium.call"


def request_gateway_context(request: Request) -> GatewayContext:
    gateway_context: GatewayContext = request.scope[SCOPE_KEY]
    return gateway_context


def read_call(request: Request) -> TenantContext | Caller:
    """Return who calls: a tenant's context, or a bare caller for the platform's own calls.

    `Unauthenticated` where no authorizer let the call in.
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
