"""`GET /v1/usage`: returns usage and cost of a period, in total and by group."""

from collections.abc import Mapping
from datetime import UTC, date
from typing import Annotated

from atrium.http.dependencies import RuntimeDep, TenantDep
from atrium.http.models import read_decimal_text
from atrium.http.pages import list_scope
from atrium.http.responses import problem_responses
from atrium.http.usage import UsageFigures, render_figures
from atrium.kernel.errors import ValidationFailed, invalid_field
from atrium.kernel.pagination import LIMIT_MAX, Page, PageRequest, Position
from atrium.sessions.model import USAGE_DAYS
from atrium.sessions.store import SessionStore
from atrium.usage.model import Figures, Group, Period
from atrium.usage.service import UsageService
from atrium.usage.sums import SumStore
from fastapi import APIRouter, Query
from pydantic import BeforeValidator

from functions.usage.models import Day, Grouping, UsageReport, render_row

DAYS_MAX = 366
ROWS_DEFAULT = 100

_GROUPS: Mapping[Grouping | None, Group] = {
    "model": "MODEL",
    "agent": "AGENT",
    "user": "USER",
    "key": "KEY",
    "client": "CLIENT",
    "end_user": "END_USER",
    "tool": "TOOL",
}

FirstDay = Annotated[
    Day | None, Query(alias="from", description="First UTC day, such as `2026-11-01`. Default: first day of the month")
]
LastDay = Annotated[Day | None, Query(alias="to", description="Last UTC day, inclusive. Default: today")]
GroupBy = Annotated[Grouping | None, Query(description="Field to group the rows of `data` by. Default: no rows")]
Rows = Annotated[
    int | None,
    Query(ge=1, le=DAYS_MAX, description="Maximum rows per page, 1 to 366. Default: 366 for days, otherwise 100"),
    BeforeValidator(read_decimal_text),
]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the previous page. Default: the first page")]

router = APIRouter(tags=["usage"])


@router.get("/v1/usage", responses=problem_responses(400, 403))
def read_usage(
    tenant: TenantDep,
    runtime: RuntimeDep,
    first: FirstDay = None,
    last: LastDay = None,
    group_by: GroupBy = None,
    limit: Rows = None,
    cursor: Cursor = None,
) -> UsageReport:
    """Get usage and cost.

    Returns your usage. With the scope `admin`, returns the usage of the tenant. A turn is counted on the UTC day on
    which it ended, within some seconds after its end. Without `admin`, you can group only by day or by your own kind
    of principal (`user`, `key` or `client`). Other groups return 403. The period has at most 366 days.
    """
    scope = list_scope(tenant, "usage", first=str(first or ""), last=str(last or ""), group=group_by)
    position = runtime.cursors.open(cursor, scope=scope)
    today = runtime.clock().astimezone(UTC).date()
    period = _reopen(position) or choose_period(first, last, today=today, group_by=group_by)
    usage = UsageService(tenant, SumStore(runtime.tenant_table(tenant.tenant_id)))
    days = usage.by_day(period)
    after = {name: part for name, part in (position or {}).items() if name not in {"first", "last"}} or None
    if group_by == "session":
        page = _read_sessions(usage, period, PageRequest(limit or ROWS_DEFAULT, after))
    else:
        most = limit or (DAYS_MAX if group_by == "day" else ROWS_DEFAULT)
        page = _read_values(usage, days, group_by, PageRequest(most, after))
    return UsageReport(
        first=period.first,
        last=period.last,
        totals=render_figures(UsageFigures, sum(days.values(), Figures())),
        data=[render_row(group_by, value, figures) for value, figures in page.items] if group_by else [],
        next_cursor=runtime.cursors.sign(_position(period, page.position), scope=scope),
    )


def _read_values(
    usage: UsageService, days: Mapping[date, Figures], group_by: Grouping | None, page: PageRequest
) -> Page[tuple[str, Figures]]:
    after = page.position["after"] if page.position else ""
    found: Mapping[str, Figures] = {}
    if group := _GROUPS.get(group_by):
        found = usage.by_group(days, group, after=after, limit=page.limit + 1)
    elif group_by == "day":
        found = {day.isoformat(): figures for day, figures in days.items() if day.isoformat() > after}
    rows = list(found.items())
    return Page(rows[: page.limit], {"after": rows[page.limit - 1][0]} if len(rows) > page.limit else None)


def _read_sessions(usage: UsageService, period: Period, page: PageRequest) -> Page[tuple[str, Figures]]:
    """Return the sessions of the period, least recently active first. Their usage is stored in the session items."""
    usage.check("SESSION")
    sessions = SessionStore(usage.sums.table)
    return sessions.list_used(period, PageRequest(min(page.limit, LIMIT_MAX), page.position))


def _position(period: Period, after: Position | None) -> Position | None:
    """Return the position of the next page, including the period, because the default period depends on the date."""
    return {"first": period.first.isoformat(), "last": period.last.isoformat(), **after} if after else None


def _reopen(position: Position | None) -> Period | None:
    if position is None:
        return None
    return Period(date.fromisoformat(position["first"]), date.fromisoformat(position["last"]))


def choose_period(first: date | None, last: date | None, *, today: date, group_by: Grouping | None = None) -> Period:
    """Return the requested period, by default the current month. Raises `ValidationFailed` for an invalid period."""
    end = last or max(today, first or today)
    begin = first or end.replace(day=1)
    if begin > end:
        raise _refusal("from", "must not be after `to`")
    if (end - begin).days >= DAYS_MAX:
        raise _refusal("to", f"must not make the period longer than {DAYS_MAX} days, including `from` and `to`")
    if group_by == "session" and (today - begin).days >= USAGE_DAYS:
        raise _refusal("from", f"must be within the last {USAGE_DAYS} days, because older usage of sessions is deleted")
    return Period(begin, end)


def _refusal(name: str, message: str) -> ValidationFailed:
    return invalid_field(name, message, place="query")
