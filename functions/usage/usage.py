"""`GET /v1/usage`."""

from datetime import UTC, date
from typing import Annotated, Literal

from atrium.http.dependencies import RuntimeDep, TenantDep
from atrium.kernel.errors import ValidationFailed
from atrium.usage.model import Period
from atrium.usage.service import UsageService
from atrium.usage.sums import SumStore
from fastapi import APIRouter, Query

from functions.usage.models import Day, UsageReport

DAYS_MAX = 366

router = APIRouter(tags=["usage"])


@router.get("/v1/usage")
def read_usage(
    tenant: TenantDep,
    runtime: RuntimeDep,
    first: Annotated[Day | None, Query(alias="from", description="First UTC day; the month's first by default")] = None,
    last: Annotated[Day | None, Query(alias="to", description="Last UTC day, included; today by default")] = None,
    group_by: Annotated[Literal["day"] | None, Query(description="What the rows of `data` are")] = None,
) -> UsageReport:
    """Return what was used and what it cost: your own, or with `admin` all of the tenant's.

    A call counts on the day on which it ended, some seconds later.
    """
    period = choose_period(first, last, today=runtime.clock().astimezone(UTC).date())
    days = UsageService(tenant, SumStore(runtime.tenant_table(tenant.tenant_id))).by_day(period)
    return UsageReport.render(period.first, period.last, days, with_days=group_by == "day")


def choose_period(first: date | None, last: date | None, *, today: date) -> Period:
    """Return the days that were asked for, or the running month's; `ValidationFailed` if they are none or too many."""
    end = last or max(today, first or today)
    begin = first or end.replace(day=1)
    if begin > end:
        raise _refusal("from", "must not be after `to`")
    if (end - begin).days >= DAYS_MAX:
        raise _refusal("to", f"must be at most {DAYS_MAX} days from `from`, both included")
    return Period(begin, end)


def _refusal(name: str, message: str) -> ValidationFailed:
    return ValidationFailed(extensions={"errors": [{"loc": ["query", name], "msg": message, "type": "value_error"}]})
