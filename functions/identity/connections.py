"""`/v1/connections`: the user's accounts at providers, which tools use on the user's behalf."""

from typing import Literal

from atrium.bootstrap import Runtime
from atrium.http.dependencies import PageDep, RuntimeDep, TenantDep, require_own_login
from atrium.http.models import ListOf, StrictModel
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.identity.connections.model import Connection
from atrium.identity.connections.service import ConnectionService
from atrium.identity.connections.store import ConnectionStore
from atrium.identity.social.state import StateSealer
from atrium.kernel.clock import format_time
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from fastapi import APIRouter

from functions.identity.flows import DescriptionDep, Provider, RedirectUri, ReturnedDep, StateText, open_flow

router = APIRouter(tags=["connections"], dependencies=[require_own_login()])


class ConnectionAnswer(StrictModel):
    """A user's connection to a provider, without its tokens."""

    id: str
    """Id of the connection, which is the name of the provider."""
    provider: str
    """Name of the provider."""
    scopes: list[str]
    """Scopes that the user granted."""
    status: Literal["active", "expired"]
    """`expired` means that the user must connect again."""
    expires_at: str | None
    """When the access token expires (RFC 3339, UTC). The platform refreshes the token when a tool needs it. Null
    if the token does not expire.
    """
    created_at: str
    """When the connection was created (RFC 3339, UTC)."""
    updated_at: str
    """When the connection was last changed (RFC 3339, UTC)."""


class AuthorizationAnswer(StrictModel):
    """The authorization URL for the user's browser, and the time at which the flow expires."""

    authorization_url: str
    """URL to open in the user's browser."""
    expires_at: str
    """When the flow expires (RFC 3339, UTC). Complete the flow before this time."""


def _service(runtime: Runtime, tenant: TenantContext) -> ConnectionService:
    table = runtime.tenant_table(tenant.tenant_id)
    return ConnectionService(
        tenant,
        ConnectionStore(table),
        runtime.secret_encryption(tenant.tenant_id),
        open_audit(tenant, table, runtime.clock),
        StateSealer(runtime.secrets),
        runtime.clock,
    )


@router.get("/v1/connections")
def list_connections(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[ConnectionAnswer]:
    """List connections.

    Returns your connections, ordered by provider. Tokens that a user granted to an OAuth client are rejected.
    """
    scope = list_scope(tenant, "connections", owner=tenant.owner)
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(_render), runtime.cursors, scope=scope)


@router.get("/v1/connections/{provider}")
def get_connection(provider: Provider, tenant: TenantDep, runtime: RuntimeDep) -> ConnectionAnswer:
    """Get a connection.

    Returns your connection to one provider. Tokens are never returned.
    """
    return _render(_service(runtime, tenant).get(provider))


@router.delete("/v1/connections/{provider}", status_code=204)
def delete_connection(provider: Provider, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete a connection.

    Deletes your connection and its tokens from the platform. The grant at the provider remains until you
    revoke it at the provider.
    """
    _service(runtime, tenant).delete(provider)


@router.get("/v1/connections/{provider}/authorize")
def authorize_connection(
    description: DescriptionDep, tenant: TenantDep, runtime: RuntimeDep, redirect_uri: RedirectUri = None
) -> AuthorizationAnswer:
    """Start a connection.

    Returns the URL to open in the user's browser. The provider then redirects the browser to `redirect_uri` with `code`
    and `state`.
    """
    flow = open_flow(runtime, tenant.tenant_id, description)
    url, ends_at = _service(runtime, tenant).begin(flow, redirect_uri)
    return AuthorizationAnswer(authorization_url=url, expires_at=format_time(ends_at))


@router.get("/v1/connections/{provider}/callback", responses=problem_responses(502))
def complete_connection(
    description: DescriptionDep, tenant: TenantDep, runtime: RuntimeDep, returned: ReturnedDep, state: StateText
) -> ConnectionAnswer:
    """Complete a connection.

    Exchanges the `code` and `state` from the redirect for a connection. Only the user who started the flow can
    complete it. A state is valid once, for ten minutes.
    """
    flow = open_flow(runtime, tenant.tenant_id, description)
    return _render(_service(runtime, tenant).complete(flow, state, returned))


def _render(connection: Connection) -> ConnectionAnswer:
    return ConnectionAnswer(
        id=connection.provider,
        provider=connection.provider,
        scopes=list(connection.scopes),
        status=connection.status,
        expires_at=format_time(connection.expires_at) if connection.expires_at else None,
        created_at=format_time(connection.created_at),
        updated_at=format_time(connection.updated_at),
    )
