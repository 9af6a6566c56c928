"""`/v1/tenants`, for the platform operator."""

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
TenantPath = Annotated[str, Path(pattern=id_pattern("ten"))]
_LIST_SCOPE = "platform\ntenants"


def _service(runtime: Runtime, caller: Caller) -> TenantService:
    return TenantService(runtime.platform_table, runtime.tenant_table, runtime.clock, origin_of(caller))


@router.get("/v1/tenants")
def list_tenants(runtime: RuntimeDep, caller: CallerDep, page: PageDep) -> ListOf[TenantAnswer]:
    """List tenants, oldest first."""
    found = _service(runtime, caller).list(page_request(page, runtime.cursors, scope=_LIST_SCOPE))
    return render_page(found.map(render_tenant), runtime.cursors, scope=_LIST_SCOPE)


@router.post("/v1/tenants", status_code=201, responses=problem_responses(409))
@answers_secret
def create_tenant(
    body: TenantBody, runtime: RuntimeDep, caller: CallerDep, base_url: BaseUrlDep, response: Response
) -> CreatedTenant:
    """Create a tenant with its default agent and, if requested, its first admin and an API key."""
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
    """Return a tenant."""
    return render_tenant(_service(runtime, caller).get(tenant_id))


@router.patch("/v1/tenants/{tenant_id}", responses=problem_responses(409))
def update_tenant(tenant_id: TenantPath, body: TenantPatch, runtime: RuntimeDep, caller: CallerDep) -> TenantAnswer:
    """Change fields of a tenant. Authorizer caches may delay the effect by 30 seconds.

    The limits of a new plan apply from the next admission; recorded usage is kept.
    """
    changes = {name: getattr(body, name) for name in body.model_fields_set - {"plan"}}
    tenant = _service(runtime, caller).change(tenant_id, changes)
    if "plan" not in body.model_fields_set:
        return render_tenant(tenant)
    open_changes(runtime, caller, tenant).change_plan(body.plan)
    return render_tenant(_service(runtime, caller).get(tenant_id))


@router.delete("/v1/tenants/{tenant_id}", status_code=204)
def delete_tenant(tenant_id: TenantPath, runtime: RuntimeDep, caller: CallerDep) -> None:
    """Delete a tenant and all its data. Its credentials end within 30 seconds; its name and its issuers are free.

    Most data is gone within minutes, the last after twenty; `GET /v1/tenants/{tenant_id}/deletion` shows how far that
    is. Only id, plan, times, who deleted it, and monthly totals stay.
    """
    tenants = _service(runtime, caller)
    Offboarding(tenants, runtime.platform_table, runtime.tenant_table).delete(tenant_id)


@router.post("/v1/tenants/{tenant_id}/suspend")
def suspend_tenant(
    tenant_id: TenantPath, runtime: RuntimeDep, caller: CallerDep, body: StatusBody | None = None
) -> TenantAnswer:
    """Refuse all of a tenant's credentials, within 30 seconds."""
    reason = (body.reason if body else None) or ""
    return render_tenant(_service(runtime, caller).set_status(tenant_id, "suspended", reason))


@router.post("/v1/tenants/{tenant_id}/activate")
def activate_tenant(
    tenant_id: TenantPath, runtime: RuntimeDep, caller: CallerDep, body: StatusBody | None = None
) -> TenantAnswer:
    """Accept the credentials of a suspended tenant again."""
    reason = (body.reason if body else None) or ""
    return render_tenant(_service(runtime, caller).set_status(tenant_id, "active", reason))


@router.post("/v1/tenants/{tenant_id}/logout", status_code=204)
def log_out_tenant(tenant_id: TenantPath, runtime: RuntimeDep, caller: CallerDep) -> None:
    """End all logins of a tenant within 30 seconds. API keys stay valid; suspend the tenant to stop them, too."""
    _service(runtime, caller).log_out(tenant_id, origin_of(caller))


def _give_default_agent(runtime: Runtime, tenant: Tenant) -> None:
    """Create the default agent, unless an earlier attempt to create the tenant already did."""
    if tenant.default_agent_id is not None:
        return
    store = AgentStore(runtime.tenant_table(tenant.id))
    try:
        store.create(default_agent(runtime.clock), make_default=True)
    except Conflict:
        return  # another call is creating the same tenant; only one of the two can complete
