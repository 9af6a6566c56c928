"""The answer of every call that shows how limits stand."""

from typing import Literal

from atrium.http.models import StrictModel
from atrium.kernel.clock import format_time
from atrium.quotas.limits import moment, show_limit
from atrium.quotas.model import LimitName
from atrium.quotas.status import LimitsStatus, LimitStatus
from atrium.tenants.plans import PlanName


class LimitStanding(StrictModel):
    """One limit as it stands now; money in USD, as decimal text.

    No limit: `max` is -1, `remaining` is null, and nothing is counted, so `used` is null, too. `window_seconds` and
    `resets_at` are null for what no passing of time frees. `messages_per_session` is shown as a new session has it.
    """

    name: LimitName
    scope: Literal["platform", "tenant", "user", "key", "agent", "session", "run"]
    max: int | str
    used: int | str | None
    remaining: int | str | None
    window_seconds: int | None
    resets_at: str | None


class LimitsAnswer(StrictModel):
    """The plan, and every limit of the tenant and of the caller."""

    plan: PlanName
    limits: list[LimitStanding]


def render_limits(status: LimitsStatus) -> LimitsAnswer:
    return LimitsAnswer(plan=status.plan, limits=[_render(each) for each in status.limits])


def _render(status: LimitStatus) -> LimitStanding:
    return LimitStanding(
        name=status.name,
        scope=status.scope,
        max=show_limit(status.name, status.max),
        used=None if status.used is None else show_limit(status.name, status.used),
        remaining=None if status.remaining is None else show_limit(status.name, status.remaining),
        window_seconds=status.window_seconds,
        resets_at=None if status.resets_at is None else format_time(moment(status.resets_at)),
    )
