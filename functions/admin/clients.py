"""`/v1/clients`: routes for a tenant's OAuth clients."""

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
ClientPath = Annotated[str, Path(pattern=id_pattern("cli"), description="Id of the OAuth client, `cli_…`")]


def _service(runtime: Runtime, tenant: TenantContext) -> ClientService:
    table = runtime.tenant_table(tenant.tenant_id)
    audit = open_audit(tenant, table, runtime.clock)
    return ClientService(tenant, ClientStore(table), audit, runtime.secrets, runtime.clock)


@router.get("/v1/clients")
def list_clients(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[ClientAnswer]:
    """List OAuth clients.

    Returns all OAuth clients of the tenant, oldest first, without their secrets.
    """
    scope = list_scope(tenant, "clients")
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(render_client), runtime.cursors, scope=scope)


@router.post("/v1/clients", status_code=201)
@answers_secret
def create_client(
    body: ClientBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> CreatedClient:
    """Create an OAuth client.

    The secret is returned only in this response. Returns 403 `SCOPE_REQUIRED` if a requested scope is not one of the
    caller's scopes.
    """
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
    """Get an OAuth client.

    The response does not contain the secret.
    """
    return render_client(_service(runtime, tenant).get(client_id))


@router.patch("/v1/clients/{client_id}", responses=problem_responses(409))
def update_client(client_id: ClientPath, body: ClientPatch, tenant: TenantDep, runtime: RuntimeDep) -> ClientAnswer:
    """Update an OAuth client.

    Absent fields are not changed. Existing tokens lose removed scopes within 30 seconds.
    """
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    return render_client(_service(runtime, tenant).change(client_id, changes))


@router.delete("/v1/clients/{client_id}", status_code=204)
def delete_client(client_id: ClientPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete an OAuth client.

    All tokens that were issued to the client, including tokens of users, are rejected within 30 seconds.
    """
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
    """Rotate an OAuth client's secret.

    The new secret is returned only in this response. The previous secret expires after `grace_seconds`, by default
    immediately. Returns 409 for a public client, because public clients have no secret.
    """
    issued = _service(runtime, tenant).rotate(client_id, body.grace_seconds if body else 0)
    response.headers["Location"] = f"{base_url}/v1/clients/{issued.client.id}"
    return render_issued_client(issued)
