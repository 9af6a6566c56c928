"""`/v1/tenants/{tenant_id}/rebuild-counters`: the operator requests a rebuild, which the events function runs."""

import re
from datetime import UTC, date
from typing import Annotated, Literal, Self

from atrium.audit.service import AuditService
from atrium.audit.store import AuditStore
from atrium.http.dependencies import BaseUrlDep, CallerDep, RuntimeDep, require
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import StrictModel, id_pattern
from atrium.http.responses import problem_responses
from atrium.kernel.clock import format_time
from atrium.kernel.errors import invalid_field
from atrium.quotas.limits import show_limit
from atrium.quotas.rebuild.model import Difference, Drift, Rebuild, RebuildReport
from atrium.quotas.rebuild.store import RebuildStore, is_alive
from atrium.tenants.auditing import origin_of
from atrium.tenants.model import Tenant
from atrium.tenants.plans import PLANS
from atrium.tenants.service import TenantService
from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, Field

router = APIRouter(tags=["tenants"], route_class=IdempotentRoute, dependencies=[require("platform")])
TenantPath = Annotated[str, Path(pattern=id_pattern("ten"), description="Id of the tenant, `ten_…`")]
_MONTH = re.compile(r"20[0-9]{2}-(?:0[1-9]|1[0-2])")


def _check_month(value: str) -> str:
    if not _MONTH.fullmatch(value):
        raise ValueError("must be a month in the form YYYY-MM, such as `2026-11`")
    return value


class RebuildBody(StrictModel):
    """The month to rebuild."""

    month: Annotated[str, Field(json_schema_extra={"pattern": _MONTH.pattern}), AfterValidator(_check_month)] = ""
    """Month to rebuild, such as `2026-11`. Must not be in the future. Default: the current month (UTC)."""


class DifferenceAnswer(StrictModel):
    """A counter whose value differs from the ledger, or differed before the rebuild."""

    limit: str
    """Name of the counter's limit."""
    scope: str
    """`tenant`, or the id of the user, API key or agent."""
    stored: int | str
    """Value of the counter, in the unit of the limit."""
    expected: int | str
    """Value according to the ledger, in the unit of the limit."""
    explained: bool
    """Whether running turns explain the difference."""

    @classmethod
    def render(cls, found: Difference) -> Self:
        return cls(
            limit=found.limit,
            scope=found.subject or "tenant",
            stored=show_limit(found.limit, found.stored),
            expected=show_limit(found.limit, found.expected),
            explained=found.is_explained,
        )


class ReportAnswer(StrictModel):
    """The result of a rebuild: ledger entries that were read, counters and usage aggregates that were corrected."""

    entries: int
    """Number of ledger entries read."""
    counters: list[DifferenceAnswer]
    """Counters that differed from the ledger and were corrected."""
    sums: int
    """Number of usage aggregates corrected."""
    counted: int
    """Number of ledger entries that were missing from the usage aggregates and were added."""
    uncounted: int
    """Number of ledger entries that could not be counted in this rebuild."""

    @classmethod
    def render(cls, report: RebuildReport) -> Self:
        counters = [DifferenceAnswer.render(each) for each in report.counters]
        return cls(
            entries=report.entries,
            counters=counters,
            sums=report.sums,
            counted=report.counted,
            uncounted=report.uncounted,
        )


class RebuildAnswer(StrictModel):
    """A requested rebuild of a tenant's counters."""

    id: str
    """Id of the rebuild."""
    month: str
    """Month of the rebuild, such as `2026-11`."""
    status: Literal["queued", "running", "succeeded", "failed"]
    """Status of the rebuild. `failed` means that there was no progress for twenty minutes: request another rebuild."""
    requested_at: str
    """When the rebuild was requested (RFC 3339, UTC)."""
    updated_at: str
    """When the record of the rebuild was last changed (RFC 3339, UTC)."""
    report: ReportAnswer | None
    """Result of the rebuild. Null until the rebuild has ended."""


class DriftAnswer(StrictModel):
    """The result of the latest daily comparison of counters and usage aggregates with the ledger."""

    checked_at: str
    """When the comparison was done (RFC 3339, UTC)."""
    entries: int
    """Number of ledger entries read."""
    faults: int
    """Number of differences in counters and usage aggregates that running turns do not explain."""
    counters: list[DifferenceAnswer]
    """Counters that differ from the ledger."""
    sums: int
    """Number of usage aggregates that differ from the ledger."""
    uncounted: int
    """Number of ledger entries that are missing from the usage aggregates."""


class CountersAnswer(StrictModel):
    """The latest rebuild and the latest daily comparison of a tenant's counters."""

    rebuild: RebuildAnswer | None
    """The latest rebuild. Null if there was no rebuild."""
    drift: DriftAnswer | None
    """The latest daily comparison with the ledger. Null if there was no comparison."""


@router.post("/v1/tenants/{tenant_id}/rebuild-counters", status_code=202, responses=problem_responses(404))
def rebuild_counters(
    tenant_id: TenantPath,
    runtime: RuntimeDep,
    caller: CallerDep,
    base_url: BaseUrlDep,
    response: Response,
    body: RebuildBody | None = None,
) -> RebuildAnswer:
    """Rebuild a tenant's counters.

    Recomputes counters and usage aggregates from the ledger. Calls are accepted during the rebuild. If a rebuild is
    already queued or running, the call returns this rebuild and creates no other. `GET` on this path returns the
    result.
    """
    now = runtime.clock().astimezone(UTC)
    month = date.fromisoformat(f"{body.month}-01") if body and body.month else now.date().replace(day=1)
    if month > now.date():
        raise invalid_field("month", "must not be in the future")
    tenant = _tenant(runtime, tenant_id)
    table = runtime.tenant_table(tenant.id)
    rebuild = RebuildStore(table).request(month, by=caller.principal.id, now=now)
    audit = AuditService(AuditStore(table), origin_of(caller), PLANS[tenant.plan].audit_days, runtime.clock)
    audit.record("admin.change", {"action": "tenant.rebuild_counters", "resource": tenant.id, "rebuild": rebuild.id})
    response.headers["Location"] = f"{base_url}/v1/tenants/{tenant.id}/rebuild-counters"
    return _render(rebuild, runtime)


@router.get("/v1/tenants/{tenant_id}/rebuild-counters")
def read_counters(tenant_id: TenantPath, runtime: RuntimeDep) -> CountersAnswer:
    """Get the state of a tenant's counters.

    Returns the latest rebuild and the latest daily comparison of the counters with the ledger.
    """
    store = RebuildStore(runtime.tenant_table(_tenant(runtime, tenant_id).id))
    rebuild, drift = store.get(), store.get_drift()
    return CountersAnswer(
        rebuild=_render(rebuild, runtime) if rebuild else None,
        drift=_render_drift(drift) if drift else None,
    )


def _tenant(runtime: RuntimeDep, tenant_id: str) -> Tenant:
    return TenantService(runtime.platform_table, runtime.tenant_table, runtime.clock).get(tenant_id)


def _render(rebuild: Rebuild, runtime: RuntimeDep) -> RebuildAnswer:
    lives = rebuild.status == "succeeded" or is_alive(rebuild, runtime.clock())
    return RebuildAnswer(
        id=rebuild.id,
        month=f"{rebuild.month:%Y-%m}",
        status=rebuild.status if lives else "failed",
        requested_at=format_time(rebuild.requested_at),
        updated_at=format_time(rebuild.updated_at),
        report=ReportAnswer.render(rebuild.report) if rebuild.report else None,
    )


def _render_drift(drift: Drift) -> DriftAnswer:
    return DriftAnswer(
        checked_at=format_time(drift.checked_at),
        entries=drift.entries,
        faults=drift.faults,
        counters=[DifferenceAnswer.render(each) for each in drift.counters],
        sums=drift.sums,
        uncounted=drift.uncounted,
    )
