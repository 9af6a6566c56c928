"""The FastAPI dependencies of routes: runtime, caller, tenant, page and scope.

All dependencies are coroutines, because FastAPI runs plain functions in threads.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import BeforeValidator

from atrium.bootstrap import Runtime
from atrium.http.context import GatewayContext, read_call, request_gateway_context
from atrium.http.models import read_decimal_text
from atrium.identity.scopes import Scope
from atrium.kernel.errors import Forbidden, TenantMismatch, TenantRequired
from atrium.kernel.pagination import LIMIT_DEFAULT, LIMIT_MAX
from atrium.tenants.context import Caller, TenantContext

_BEARER = HTTPBearer(
    scheme_name="bearer", description="An access token or an API key", bearerFormat="JWT or atr_…", auto_error=False
)
_API_KEY = APIKeyHeader(name="x-api-key", scheme_name="apiKey", description="An API key", auto_error=False)


async def get_runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime()
    return runtime


async def get_gateway_context(request: Request) -> GatewayContext:
    return request_gateway_context(request)


async def get_base_url(request: Request) -> str:
    """Return the prefix of URLs in links: the public URL, or else the path of the stage, which may be empty."""
    runtime: Runtime = request.app.state.runtime()
    return runtime.settings.public_url or request_gateway_context(request).base_path


async def get_call(
    request: Request, _bearer: Annotated[object, Security(_BEARER)], _key: Annotated[object, Security(_API_KEY)]
) -> TenantContext | Caller:
    """Return the tenant context or the caller of a verified call.

    The parameters only add the two security schemes to the OpenAPI document.
    """
    return read_call(request)


async def get_caller(call: Annotated[TenantContext | Caller, Depends(get_call)]) -> Caller:
    return call.caller if isinstance(call, TenantContext) else call


async def get_tenant(call: Annotated[TenantContext | Caller, Depends(get_call)]) -> TenantContext:
    """Return the tenant context of a call; raise `TenantRequired` for a platform credential without a tenant."""
    if isinstance(call, TenantContext):
        return call
    raise TenantRequired("This call requires a tenant. Send its id in the header `X-Tenant-ID`.")


@dataclass(frozen=True, slots=True)
class PageQuery:
    """The page parameters of a list request. The cursor is encoded."""

    limit: int
    cursor: str | None


async def read_page(
    limit: Annotated[
        int,
        Query(ge=1, le=LIMIT_MAX, description="Items of a page, 1 to 100. Default 20"),
        BeforeValidator(read_decimal_text),
    ] = LIMIT_DEFAULT,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the previous page. Default: the first page")
    ] = None,
) -> PageQuery:
    return PageQuery(limit, cursor)


RuntimeDep = Annotated[Runtime, Depends(get_runtime)]
BaseUrlDep = Annotated[str, Depends(get_base_url)]
GatewayContextDep = Annotated[GatewayContext, Depends(get_gateway_context)]
CallerDep = Annotated[Caller, Depends(get_caller)]
TenantDep = Annotated[TenantContext, Depends(get_tenant)]
PageDep = Annotated[PageQuery, Depends(read_page)]


class RequiredScope:
    """A dependency that marks a route with the scope that the caller must have.

    `guard_route` checks the scope, and the OpenAPI document shows the scope.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, call: Annotated[object, Depends(get_call)]) -> None:
        """Do nothing. The parameter only marks the route as a route that requires a credential."""


def require(scope: Scope) -> Any:
    """Return the dependency that requires a scope, such as `dependencies=[require("agents:write")]`."""
    return Depends(RequiredScope(scope))


async def _refuse_token_of_client(caller: CallerDep) -> None:
    if caller.principal.client_id:
        raise Forbidden("This call requires a token from the user's login. Tokens of OAuth clients are not accepted.")


def require_own_login() -> Any:
    """Return the dependency that rejects tokens issued to an OAuth client, regardless of their scopes."""
    return Depends(_refuse_token_of_client)


def require_own_tenant(context: TenantContext, tenant_id: str | None) -> None:
    """Raise `TenantMismatch` if the tenant id in a body or query is not the id of the credential's tenant."""
    if tenant_id is not None and tenant_id != context.tenant_id:
        raise TenantMismatch
