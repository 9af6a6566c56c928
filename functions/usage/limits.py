"""`GET /v1/limits`: returns the limits of the tenant and of the caller."""

from atrium.http.dependencies import RuntimeDep, TenantDep
from atrium.http.limit_report import LimitsAnswer, render_limits
from atrium.quotas.status import read_status
from fastapi import APIRouter

router = APIRouter(tags=["usage"])


@router.get("/v1/limits")
def read_limits(tenant: TenantDep, runtime: RuntimeDep) -> LimitsAnswer:
    """Get the limits.

    Returns the current state of all limits of the tenant and of the calling user or API key.
    """
    return render_limits(read_status(runtime.tenant_table(tenant.tenant_id), runtime.clock, tenant.principal))
