"""`/v1/tenants/{tenant_id}/rebuild-counters`, for the platform operator. Another function runs the rebuild."""

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
TenantPath = Annotated[str, Path(pattern=id_pattern("ten"))]
_MONTH = re.compile(r"20[0-9]{2}-(?:0[1-9]|1[0-2])")


def _check_month(value: str) -> str:
    if not _MONTH.fullmatch(value):
        raise ValueError("must be a month as 2026-11")
    return value


class RebuildBody(StrictModel):
    """The month to rebuild; by default the current one."""

    month: Annotated[str, Field(json_schema_extra={"pattern": _MONTH.pattern}), AfterValidator(_check_month)] = ""


class DifferenceAnswer(StrictModel):
    """A counter that differs, or differed, from the ledger.

    `scope` is `tenant`, or the id of a user, key or agent.
    """

    limit: str
    scope: str
    stored: int | str
    expected: int | str
    explained: bool

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
    """What was read and corrected. `uncounted` entries could not be counted in this run."""

    entries: int
    counters: list[DifferenceAnswer]
    sums: int
    counted: int
    uncounted: int

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
    """A rebuild. `failed` means no progress for twenty minutes: request another one."""

    id: str
    month: str
    status: Literal["queued", "running", "succeeded", "failed"]
    requested_at: str
    updated_at: str
    report: ReportAnswer | None


class DriftAnswer(StrictModel):
    """The result of the latest daily comparison. `faults` counts differences without an explanation."""

    checked_at: str
    entries: int
    faults: int
    counters: list[DifferenceAnswer]
    sums: int
    uncounted: int


class CountersAnswer(StrictModel):
    """The latest rebuild and the latest comparison of a tenant; null if there was none."""

    rebuild: RebuildAnswer | None
    drift: DriftAnswer | None


@router.post("/v1/tenants/{tenant_id}/rebuild-counters", status_code=202, responses=problem_responses(404))
def rebuild_counters(
    tenant_id: TenantPath,
    runtime: RuntimeDep,
    caller: CallerDep,
    base_url: BaseUrlDep,
    response: Response,
    body: RebuildBody | None = None,
) -> RebuildAnswer:
    """Request a rebuild of a tenant's counters and usage sums from its ledger, without interrupting its calls.

    Only one rebuild is queued or running at a time; the answer describes it. `GET` the same address for its result.
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
    """Return a tenant's latest rebuild and the result of the latest comparison of its counters with its ledger."""
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
