"""`/v1/clients`: a tenant's OAuth clients."""

from typing import Annotated

from atrium.bootstrap import Runtime
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.idempotency import IdempotentRoute, answers_secret
from atrium.http.models import ListOf, id_pattern
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.identity.clients.service import ClientService
from atrium.identity.clients.store import ClientStore
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from fastapi import APIRouter, Path, Response

from functions.admin.client_models import (
    ClientAnswer,
    ClientBody,
    ClientGrace,
    ClientPatch,
    CreatedClient,
    render_client,
    render_issued_client,
)

router = APIRouter(tags=["clients"], route_class=IdempotentRoute, dependencies=[require("admin")])
ClientPath = Annotated[str, Path(pattern=id_pattern("cli"))]


def _service(runtime: Runtime, tenant: TenantContext) -> ClientService:
    table = runtime.tenant_table(tenant.tenant_id)
    audit = open_audit(tenant, table, runtime.clock)
    return ClientService(tenant, ClientStore(table), audit, runtime.secrets, runtime.clock)


@router.get("/v1/clients")
def list_clients(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[ClientAnswer]:
    """List the tenant's OAuth clients without their secrets, oldest first."""
    scope = list_scope(tenant, "clients")
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(render_client), runtime.cursors, scope=scope)


@router.post("/v1/clients", status_code=201)
@answers_secret
def create_client(
    body: ClientBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> CreatedClient:
    """Create an OAuth client. It can have no scope that its maker lacks."""
    issued = _service(runtime, tenant).create(
        body.name,
        body.type,
        grant_types=body.grant_types,
        redirect_uris=body.redirect_uris,
        scopes=body.scopes,
    )
    response.headers["Location"] = f"{base_url}/v1/clients/{issued.client.id}"
    return render_issued_client(issued)


@router.get("/v1/clients/{client_id}")
def get_client(client_id: ClientPath, tenant: TenantDep, runtime: RuntimeDep) -> ClientAnswer:
    """Return a client without its secret."""
    return render_client(_service(runtime, tenant).get(client_id))


@router.patch("/v1/clients/{client_id}", responses=problem_responses(409))
def update_client(client_id: ClientPath, body: ClientPatch, tenant: TenantDep, runtime: RuntimeDep) -> ClientAnswer:
    """Change any part of a client; fewer scopes hold for the tokens that it has, too, within 30 seconds."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    return render_client(_service(runtime, tenant).change(client_id, changes))


@router.delete("/v1/clients/{client_id}", status_code=204)
def delete_client(client_id: ClientPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete a client: its tokens, and those of users who agreed to it, end within 30 seconds."""
    _service(runtime, tenant).delete(client_id)


@router.post("/v1/clients/{client_id}/rotate", status_code=201, responses=problem_responses(409))
@answers_secret
def rotate_client(
    client_id: ClientPath,
    tenant: TenantDep,
    runtime: RuntimeDep,
    base_url: BaseUrlDep,
    response: Response,
    body: ClientGrace | None = None,
) -> CreatedClient:
    """Give a client a new secret; the last one ends when the grace is over (by default at once)."""
    issued = _service(runtime, tenant).rotate(client_id, body.grace_seconds if body else 0)
    response.headers["Location"] = f"{base_url}/v1/clients/{issued.client.id}"
    return render_issued_client(issued)
