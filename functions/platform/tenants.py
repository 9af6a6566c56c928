"""`/v1/tenants`: the platform operator creates, changes, suspends and deletes tenants."""

from typing import Annotated

from atrium.agent.service import default_agent
from atrium.agent.store import AgentStore
from atrium.bootstrap import Runtime
from atrium.http.dependencies import BaseUrlDep, CallerDep, PageDep, RuntimeDep, require
from atrium.http.idempotency import IdempotentRoute, answers_secret
from atrium.http.models import ListOf, id_pattern
from atrium.http.pages import page_request, render_page
from atrium.http.responses import problem_responses
from atrium.identity.offboarding import Offboarding
from atrium.identity.onboarding import FirstAdmin, Onboarding
from atrium.kernel.errors import Conflict
from atrium.tenants.auditing import origin_of
from atrium.tenants.context import Caller
from atrium.tenants.model import Tenant
from atrium.tenants.service import TenantFields, TenantService
from fastapi import APIRouter, Path, Response

from functions.platform.limits import open_changes
from functions.platform.models import (
    CreatedTenant,
    StatusBody,
    TenantAnswer,
    TenantBody,
    TenantPatch,
    render_created,
    render_tenant,
)

router = APIRouter(tags=["tenants"], route_class=IdempotentRoute, dependencies=[require("platform")])
TenantPath = Annotated[str, Path(pattern=id_pattern("ten"), description="Id of the tenant, `ten_…`")]
_LIST_SCOPE = "platform\ntenants"


def _service(runtime: Runtime, caller: Caller) -> TenantService:
    return TenantService(runtime.platform_table, runtime.tenant_table, runtime.clock, origin_of(caller))


@router.get("/v1/tenants")
def list_tenants(runtime: RuntimeDep, caller: CallerDep, page: PageDep) -> ListOf[TenantAnswer]:
    """List tenants.

    Returns all tenants of the platform, oldest first.
    """
    found = _service(runtime, caller).list(page_request(page, runtime.cursors, scope=_LIST_SCOPE))
    return render_page(found.map(render_tenant), runtime.cursors, scope=_LIST_SCOPE)


@router.post("/v1/tenants", status_code=201, responses=problem_responses(409))
@answers_secret
def create_tenant(
    body: TenantBody, runtime: RuntimeDep, caller: CallerDep, base_url: BaseUrlDep, response: Response
) -> CreatedTenant:
    """Create a tenant.

    Creates the tenant with a default agent. If `admin` is set, also creates the first user and an API key. The key is
    returned only in this response. Returns 409 if another tenant has this name.
    """
    onboarding = Onboarding(
        tenants=_service(runtime, caller),
        table_of=runtime.tenant_table,
        environment=runtime.settings.environment,
        current_pepper=runtime.secrets.peppers("api_key").current,
        prepare=lambda tenant: _give_default_agent(runtime, tenant),
        clock=runtime.clock,
    )
    fields = TenantFields(body.name, body.plan, body.display_name or "", body.settings, body.metadata)
    admin = FirstAdmin(body.admin.email, body.admin.password) if body.admin else None
    made = onboarding.create(fields, admin, created_by=caller.principal.id)
    response.headers["Location"] = f"{base_url}/v1/tenants/{made.tenant.id}"
    return render_created(made)


@router.get("/v1/tenants/{tenant_id}")
def get_tenant(tenant_id: TenantPath, runtime: RuntimeDep, caller: CallerDep) -> TenantAnswer:
    """Get a tenant.

    Returns 404 for a deleted tenant.
    """
    return render_tenant(_service(runtime, caller).get(tenant_id))


@router.patch("/v1/tenants/{tenant_id}", responses=problem_responses(409))
def update_tenant(tenant_id: TenantPath, body: TenantPatch, runtime: RuntimeDep, caller: CallerDep) -> TenantAnswer:
    """Update a tenant.

    Absent fields are not changed. `settings` and `metadata` are replaced as a whole. The limits of a new plan apply
    from the next admission. Earlier usage still counts.
    """
    changes = {name: getattr(body, name) for name in body.model_fields_set - {"plan"}}
    tenant = _service(runtime, caller).change(tenant_id, changes)
    if "plan" not in body.model_fields_set:
        return render_tenant(tenant)
    open_changes(runtime, caller, tenant).change_plan(body.plan)
    return render_tenant(_service(runtime, caller).get(tenant_id))


@router.delete("/v1/tenants/{tenant_id}", status_code=204)
def delete_tenant(tenant_id: TenantPath, runtime: RuntimeDep, caller: CallerDep) -> None:
    """Delete a tenant.

    The tenant's credentials are rejected within 30 seconds. Its name and issuers can be used again. Email addresses are
    removed from the login index. All data is erased, most of it within minutes and the rest after twenty minutes. Only
    the id, plan, times, the caller who deleted the tenant, and monthly usage remain.
    `GET /v1/tenants/{tenant_id}/deletion` returns the progress.
    """
    tenants = _service(runtime, caller)
    Offboarding(tenants, runtime.platform_table, runtime.tenant_table).delete(tenant_id)


@router.post("/v1/tenants/{tenant_id}/suspend")
def suspend_tenant(
    tenant_id: TenantPath, runtime: RuntimeDep, caller: CallerDep, body: StatusBody | None = None
) -> TenantAnswer:
    """Suspend a tenant.

    All credentials of the tenant are rejected with 403 `TENANT_INACTIVE` within 30 seconds. No data is deleted.
    """
    reason = (body.reason if body else None) or ""
    return render_tenant(_service(runtime, caller).set_status(tenant_id, "suspended", reason))


@router.post("/v1/tenants/{tenant_id}/activate")
def activate_tenant(
    tenant_id: TenantPath, runtime: RuntimeDep, caller: CallerDep, body: StatusBody | None = None
) -> TenantAnswer:
    """Activate a tenant.

    The tenant's credentials are accepted again within 30 seconds.
    """
    reason = (body.reason if body else None) or ""
    return render_tenant(_service(runtime, caller).set_status(tenant_id, "active", reason))


@router.post("/v1/tenants/{tenant_id}/logout", status_code=204)
def log_out_tenant(tenant_id: TenantPath, runtime: RuntimeDep, caller: CallerDep) -> None:
    """Log out all users of a tenant.

    Ends all logins within 30 seconds. API keys remain valid. To reject API keys too, suspend the tenant.
    """
    _service(runtime, caller).log_out(tenant_id, origin_of(caller))


def _give_default_agent(runtime: Runtime, tenant: Tenant) -> None:
    """Create the default agent, unless an earlier attempt to create the tenant has already created it."""
    if tenant.default_agent_id is not None:
        return
    store = AgentStore(runtime.tenant_table(tenant.id))
    try:
        store.create(default_agent(runtime.clock), make_default=True)
    except Conflict:
        return  # another call is creating the same tenant; only one of the two calls can succeed
