"""`/v1/tenants/{tenant_id}/deletion`, for the operator: how far a tenant's deletion is, and what it leaves."""

from typing import Annotated, Literal

from atrium.erasure.ledger import read_totals
from atrium.http.dependencies import RuntimeDep, require
from atrium.http.models import StrictModel, id_pattern
from atrium.http.responses import problem_responses
from atrium.kernel.clock import format_time
from atrium.llm.catalogue import format_cost
from atrium.tenants.deletions import Deletion, Deletions
from atrium.tenants.model import Tenant
from atrium.tenants.plans import PlanName
from atrium.tenants.service import TenantService
from atrium.usage.model import Figures
from fastapi import APIRouter, Path
from pydantic import Field

router = APIRouter(tags=["tenants"], dependencies=[require("platform")])
TenantPath = Annotated[str, Path(pattern=id_pattern("ten"), description="Id of the tenant, `ten_…`")]


class MonthAnswer(StrictModel):
    """What was used in a month whose ledger is erased."""

    month: Annotated[str, Field(description="UTC, as 2026-11")]
    requests: int
    """Turns and jobs of the month."""
    input_tokens: int
    """Prompt tokens that were neither read from nor written to the provider's cache."""
    output_tokens: int
    """Tokens that models wrote."""
    cache_read_tokens: int
    """Prompt tokens read from the provider's cache."""
    cache_write_tokens: int
    """Prompt tokens written to the provider's cache."""
    tool_calls: int
    """Calls of tools."""
    cost_usd: str
    """Cost in USD, with six decimals."""


class DeletionAnswer(StrictModel):
    """The progress of a tenant's deletion."""

    tenant_id: str
    """Id of the tenant, `ten_…`."""
    plan: PlanName
    """Plan of the tenant, or its last plan."""
    status: Literal["none", "deleting", "deleted"]
    """`none`: not deleted; `deleting`: data is being erased; `deleted`: only what this answer shows is left."""
    deleted_at: str | None
    """Time of the call that deleted the tenant. Null if it is not deleted."""
    deleted_by: Annotated[str | None, Field(description="Who deleted it, as platform:key_…")]
    erased_at: str | None
    """Time at which the erasure was complete. Null before."""
    phase: Annotated[str | None, Field(description="What is being erased; null between the passes and at the end")]
    items_erased: Annotated[int | None, Field(description="Items of the table so far, at least")]
    blobs_erased: Annotated[int | None, Field(description="Versions of blobs so far, at least")]
    months: list[MonthAnswer]
    """Usage by month whose ledger is erased, oldest first."""


@router.get("/v1/tenants/{tenant_id}/deletion", responses=problem_responses(404))
def read_deletion(tenant_id: TenantPath, runtime: RuntimeDep) -> DeletionAnswer:
    """Get the progress of a deletion.

    Shows how far the erasure of a deleted tenant is, and what stays of it: id, plan, times, who deleted it, and its
    usage by month. The status is `none` while the tenant is not deleted.
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
        months=[_render_month(month, figures) for month, figures in totals.items()],
    )


def _render_month(month: str, figures: Figures) -> MonthAnswer:
    return MonthAnswer(
        month=month,
        requests=figures.requests,
        input_tokens=figures.input_tokens,
        output_tokens=figures.output_tokens,
        cache_read_tokens=figures.cache_read_tokens,
        cache_write_tokens=figures.cache_write_tokens,
        tool_calls=figures.tool_calls,
        cost_usd=format_cost(figures.cost_nanos),
    )
