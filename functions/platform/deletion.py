"""`GET /v1/tenants/{tenant_id}/deletion`: returns the progress of a tenant's deletion and the remaining data."""

from typing import Annotated, Literal

from atrium.erasure.ledger import read_totals
from atrium.http.dependencies import RuntimeDep, require
from atrium.http.models import StrictModel, id_pattern
from atrium.http.responses import problem_responses
from atrium.http.usage import UsageFigures, render_figures
from atrium.kernel.clock import format_time
from atrium.tenants.deletions import Deletion, Deletions
from atrium.tenants.model import Tenant
from atrium.tenants.plans import PlanName
from atrium.tenants.service import TenantService
from atrium.usage.model import Figures
from fastapi import APIRouter, Path
from pydantic import Field

router = APIRouter(tags=["tenants"], dependencies=[require("platform")])
TenantPath = Annotated[str, Path(pattern=id_pattern("ten"), description="Id of the tenant, `ten_…`")]


class MonthAnswer(UsageFigures):
    """Usage of a month whose ledger was erased."""

    month: Annotated[str, Field(description="Month in UTC, such as `2026-11`")]


class DeletionAnswer(StrictModel):
    """The progress of a tenant's deletion."""

    tenant_id: str
    """Id of the tenant, `ten_…`."""
    plan: PlanName
    """Current or last plan of the tenant."""
    status: Literal["none", "deleting", "deleted"]
    """`none`: the tenant is not deleted. `deleting`: data is being erased. `deleted`: only the data in this response is
    still stored.
    """
    deleted_at: str | None
    """When the tenant was deleted (RFC 3339, UTC). Null if the tenant is not deleted."""
    deleted_by: Annotated[
        str | None,
        Field(description="Caller who deleted the tenant, such as `platform:key_…`. Null if the tenant is not deleted"),
    ]
    erased_at: str | None
    """When the erasure was completed (RFC 3339, UTC). Null until then."""
    phase: Annotated[
        str | None, Field(description="Kind of data that is being erased. Null between passes and after the end")
    ]
    items_erased: Annotated[
        int | None, Field(description="At least this many table items have been erased. Null if no erasure is running")
    ]
    blobs_erased: Annotated[
        int | None,
        Field(description="At least this many blob versions have been erased. Null if no erasure is running"),
    ]
    months: list[MonthAnswer]
    """Usage of each month whose ledger was erased, oldest first."""


@router.get("/v1/tenants/{tenant_id}/deletion", responses=problem_responses(404))
def read_deletion(tenant_id: TenantPath, runtime: RuntimeDep) -> DeletionAnswer:
    """Get the progress of a deletion.

    Returns the progress of the erasure of a deleted tenant, and the data that remains stored: id, plan, times, the
    caller who deleted the tenant, and monthly usage. The status is `none` if the tenant is not deleted.
    """
    tenants = TenantService(runtime.platform_table, runtime.tenant_table, runtime.clock)
    tenant = tenants.get_with_deleted(tenant_id)
    if tenant.status != "deleted":
        return _render(tenant, None, {})
    totals = read_totals(runtime.tenant_table(tenant.id))
    return _render(tenant, Deletions(runtime.platform_table).find(tenant.id), totals)


def _render(tenant: Tenant, deletion: Deletion | None, totals: dict[str, Figures]) -> DeletionAnswer:
    progress = deletion.progress if deletion else None
    return DeletionAnswer(
        tenant_id=tenant.id,
        plan=tenant.plan,
        status="none" if tenant.status != "deleted" else "deleted" if tenant.erased_at else "deleting",
        deleted_at=format_time(tenant.deleted_at) if tenant.deleted_at else None,
        deleted_by=tenant.deleted_by or None,
        erased_at=format_time(tenant.erased_at) if tenant.erased_at else None,
        phase=(progress.phase or None) if progress else None,
        items_erased=progress.items if progress else None,
        blobs_erased=progress.blobs if progress else None,
        months=[render_figures(MonthAnswer, figures, month=month) for month, figures in totals.items()],
    )
