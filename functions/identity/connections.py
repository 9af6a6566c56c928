"""`/v1/connections`: the caller's own accounts at providers, which tools use on their behalf."""

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
    """A connection; its tokens are never shown. `expired` means that the user must connect again."""

    id: str
    """Name of the provider."""
    provider: str
    """Name of the provider."""
    scopes: list[str]
    """Scopes the user granted."""
    status: Literal["active", "expired"]
    """`expired` means that the user has to connect again."""
    expires_at: str | None
    """When the access token ends (RFC 3339, UTC); it is refreshed before. Null if it does not end."""
    created_at: str
    """When it was created (RFC 3339, UTC)."""
    updated_at: str
    """When it was last changed (RFC 3339, UTC)."""


class AuthorizationAnswer(StrictModel):
    """The URL to send the user's browser to, and the time until which the flow can be completed."""

    authorization_url: str
    """Where to send the user's browser."""
    expires_at: str
    """Until when the user may return (RFC 3339, UTC)."""


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

    Your own accounts at providers, by provider. Needs the login of a user; API keys and OAuth clients are refused.
    """
    scope = list_scope(tenant, "connections", owner=tenant.owner)
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(_render), runtime.cursors, scope=scope)


@router.get("/v1/connections/{provider}")
def get_connection(provider: Provider, tenant: TenantDep, runtime: RuntimeDep) -> ConnectionAnswer:
    """Get a connection.

    Your own account at one provider. Tokens are never shown.
    """
    return _render(_service(runtime, tenant).get(provider))


@router.delete("/v1/connections/{provider}", status_code=204)
def delete_connection(provider: Provider, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete a connection.

    Removes your connection and its tokens from the platform. The grant at the provider itself stays until you
    withdraw it there.
    """
    _service(runtime, tenant).delete(provider)


@router.get("/v1/connections/{provider}/authorize")
def authorize_connection(
    description: DescriptionDep, tenant: TenantDep, runtime: RuntimeDep, redirect_uri: RedirectUri = None
) -> AuthorizationAnswer:
    """Start a connection.

    Tells where to send the browser. It comes back to `redirect_uri` with `code` and `state`.
    """
    flow = open_flow(runtime, tenant.tenant_id, description)
    url, ends_at = _service(runtime, tenant).begin(flow, redirect_uri)
    return AuthorizationAnswer(authorization_url=url, expires_at=format_time(ends_at))


@router.get("/v1/connections/{provider}/callback", responses=problem_responses(502))
def complete_connection(
    description: DescriptionDep, tenant: TenantDep, runtime: RuntimeDep, returned: ReturnedDep, state: StateText
) -> ConnectionAnswer:
    """Complete a connection.

    Exchanges the `code` and `state` that came back. Only the credential that started the connection can complete it.
    A state works once, for ten minutes.
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
