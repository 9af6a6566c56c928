"""`/v1/keys`: routes for a tenant's API keys."""

from typing import Annotated

from atrium.bootstrap import Runtime
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.idempotency import IdempotentRoute, answers_secret
from atrium.http.models import ListOf, id_pattern
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.identity.keys.service import KeyService
from atrium.identity.keys.store import KeyStore
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from fastapi import APIRouter, Path, Response

from functions.admin.counting import limits_changed
from functions.admin.key_models import (
    CreatedKey,
    GraceBody,
    KeyAnswer,
    KeyBody,
    KeyPatch,
    render_issued,
    render_key,
)

router = APIRouter(tags=["keys"], route_class=IdempotentRoute, dependencies=[require("admin")])
KeyPath = Annotated[str, Path(pattern=id_pattern("key"), description="Id of the API key, `key_…`")]


def _service(runtime: Runtime, tenant: TenantContext) -> KeyService:
    table = runtime.tenant_table(tenant.tenant_id)
    return KeyService(
        tenant,
        KeyStore(table),
        runtime.settings.environment,
        runtime.secrets.peppers("api_key").current,
        runtime.clock,
        open_audit(tenant, table, runtime.clock),
    )


@router.get("/v1/keys")
def list_keys(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[KeyAnswer]:
    """List API keys.

    Returns all API keys of the tenant, oldest first. The response does not contain the secret keys.
    """
    scope, now = list_scope(tenant, "keys"), runtime.clock()
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(lambda key: render_key(key, now)), runtime.cursors, scope=scope)


@router.post("/v1/keys", status_code=201)
@answers_secret
def create_key(
    body: KeyBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> CreatedKey:
    """Create an API key.

    The secret key is returned only in this response. Returns 403 `SCOPE_REQUIRED` if a requested scope is not one of
    the caller's scopes.
    """
    issued = _service(runtime, tenant).create(body.name, body.scopes, body.expires_at, body.limits)
    response.headers["Location"] = f"{base_url}/v1/keys/{issued.key.id}"
    return render_issued(issued, runtime.clock())


@router.get("/v1/keys/{key_id}")
def get_key(key_id: KeyPath, tenant: TenantDep, runtime: RuntimeDep) -> KeyAnswer:
    """Get an API key.

    The response does not contain the secret key.
    """
    return render_key(_service(runtime, tenant).get(key_id), runtime.clock())


@router.patch("/v1/keys/{key_id}")
def update_key(key_id: KeyPath, body: KeyPatch, tenant: TenantDep, runtime: RuntimeDep) -> KeyAnswer:
    """Update an API key.

    Absent fields are not changed. `limits` are replaced as a whole. The change applies within 30 seconds.
    New `limits` apply from the next call.
    """
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    service = _service(runtime, tenant)
    before = service.get(key_id)
    changed = service.change(key_id, changes)
    limits_changed(runtime, tenant, before.principal_id, before.limits, changed.limits)
    return render_key(changed, runtime.clock())


@router.delete("/v1/keys/{key_id}", status_code=204)
def delete_key(key_id: KeyPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete an API key.

    The key is rejected within 30 seconds.
    """
    _service(runtime, tenant).delete(key_id)


@router.post("/v1/keys/{key_id}/rotate", status_code=201, responses=problem_responses(409))
@answers_secret
def rotate_key(
    key_id: KeyPath,
    tenant: TenantDep,
    runtime: RuntimeDep,
    base_url: BaseUrlDep,
    response: Response,
    body: GraceBody | None = None,
) -> CreatedKey:
    """Rotate an API key.

    Creates a key with the same name, scopes, limits and expiry. The secret key is returned only in this response. The
    old key is revoked after `grace_seconds`, by default immediately. Returns 409 if the key is revoked or expired, or
    if its revocation is scheduled.
    """
    issued = _service(runtime, tenant).rotate(key_id, body.grace_seconds if body else 0)
    response.headers["Location"] = f"{base_url}/v1/keys/{issued.key.id}"
    return render_issued(issued, runtime.clock())


@router.post("/v1/keys/{key_id}/revoke")
def revoke_key(key_id: KeyPath, tenant: TenantDep, runtime: RuntimeDep, body: GraceBody | None = None) -> KeyAnswer:
    """Revoke an API key.

    The key is revoked after `grace_seconds`, by default immediately. Calls with the key are rejected at most 30
    seconds later. The key remains in the list of keys.
    """
    key = _service(runtime, tenant).revoke(key_id, body.grace_seconds if body else 0)
    return render_key(key, runtime.clock())
