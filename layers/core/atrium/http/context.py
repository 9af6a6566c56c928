"""The caller's context: read once per call from the authorizer's flat fields, kept on the request."""

from starlette.requests import Request

from atrium.http.envelope import SCOPE_KEY, Envelope
from atrium.identity.context import read_authorizer_context
from atrium.kernel.errors import Unauthenticated
from atrium.tenants.context import Caller, TenantContext

_CALL_KEY = "atrium.call"


def read_request_envelope(request: Request) -> Envelope:
    envelope: Envelope = request.scope[SCOPE_KEY]
    return envelope


def read_call(request: Request) -> TenantContext | Caller:
    """Return who calls: a tenant's context, or a bare caller for the platform's own calls.

    `Unauthenticated` where no authorizer let the call in.
    """
    known: TenantContext | Caller | None = request.scope.get(_CALL_KEY)
    if known is not None:
        return known
    envelope = read_request_envelope(request)
    if envelope.authorizer is None:
        raise Unauthenticated
    call = read_authorizer_context(
        envelope.authorizer,
        request_id=envelope.request_id,
        source_ip=envelope.source_ip,
        user_agent=envelope.user_agent,
        trace_parent=envelope.trace_parent,
    )
    request.scope[_CALL_KEY] = call
    return call
