"""`PUT /v1/tenants/{tenant_id}/limits`: the platform operator sets a tenant's limits."""

from typing import Annotated

from atrium.audit.service import AuditService
from atrium.audit.store import AuditStore
from atrium.bootstrap import Runtime
from atrium.http.dependencies import CallerDep, RuntimeDep, require
from atrium.http.limit_report import LimitsAnswer, render_limits
from atrium.http.limits import TenantLimits
from atrium.http.models import id_pattern
from atrium.http.responses import problem_responses
from atrium.quotas.changes import LimitChanges
from atrium.quotas.status import read_status
from atrium.tenants.auditing import origin_of
from atrium.tenants.context import Caller
from atrium.tenants.model import Tenant
from atrium.tenants.plans import PLANS
from atrium.tenants.service import TenantService
from fastapi import APIRouter, Body, Path

router = APIRouter(tags=["tenants"], dependencies=[require("platform")])
TenantPath = Annotated[str, Path(pattern=id_pattern("ten"), description="Id of the tenant, `ten_…`")]


@router.put("/v1/tenants/{tenant_id}/limits", responses=problem_responses(404, 409))
def replace_tenant_limits(
    tenant_id: TenantPath, body: Annotated[TenantLimits, Body()], caller: CallerDep, runtime: RuntimeDep
) -> LimitsAnswer:
    """Set a tenant's limits.

    Replaces all limits that were set for the tenant. If a limit is null or absent, the plan's limit applies. The value
    -1 means no limit. The new limits apply from the next admission. Returns the current state of all limits.
    """
    tenant = TenantService(runtime.platform_table, runtime.tenant_table, runtime.clock).get(tenant_id)
    open_changes(runtime, caller, tenant).replace(body)
    return render_limits(read_status(runtime.tenant_table(tenant.id), runtime.clock))


def open_changes(runtime: Runtime, caller: Caller, tenant: Tenant) -> LimitChanges:
    """Return the service that changes a tenant's limits and plan. Audit events name the operator as the caller."""
    table = runtime.tenant_table(tenant.id)
    audit = AuditService(AuditStore(table), origin_of(caller), PLANS[tenant.plan].audit_days, runtime.clock)
    return LimitChanges(table, audit, runtime.clock)
