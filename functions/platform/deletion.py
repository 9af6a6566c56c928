"""`GET /v1/tenants/{tenant_id}/deletion`: returns the progress of a tenant's deletion and the remaining data."""

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
    """Usage of a month whose ledger was erased."""

    month: Annotated[str, Field(description="Month in UTC, such as `2026-11`")]
    requests: int
    """Number of turns and jobs in the month."""
    input_tokens: int
    """Input tokens that were not read from or written to the prompt cache."""
    output_tokens: int
    """Output tokens, including thinking."""
    cache_read_tokens: int
    """Input tokens read from the provider's prompt cache."""
    cache_write_tokens: int
    """Input tokens written to the provider's prompt cache."""
    tool_calls: int
    """Number of executed tool calls."""
    cost_usd: str
    """Cost in USD as decimal text with six decimals."""


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
    """When the tenant was deleted (RFC 3339, UTC). Null if it is not deleted."""
    deleted_by: Annotated[
        str | None, Field(description="Caller who deleted the tenant, such as `platform:key_…`. Null if not deleted")
    ]
    erased_at: str | None
    """When the erasure was complete (RFC 3339, UTC). Null until then."""
    phase: Annotated[str | None, Field(description="Data that is being erased. Null between passes and at the end")]
    items_erased: Annotated[int | None, Field(description="Minimum number of table items erased so far")]
    blobs_erased: Annotated[int | None, Field(description="Minimum number of blob versions erased so far")]
    months: list[MonthAnswer]
    """Usage of each month whose ledger was erased, oldest first."""


@router.get("/v1/tenants/{tenant_id}/deletion", responses=problem_responses(404))
def read_deletion(tenant_id: TenantPath, runtime: RuntimeDep) -> DeletionAnswer:
    """Get the progress of a deletion.

    Returns the progress of the erasure of a deleted tenant, and the data that remains stored: id, plan, times, who
    deleted it, and monthly usage. The status is `none` if the tenant is not deleted.
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
