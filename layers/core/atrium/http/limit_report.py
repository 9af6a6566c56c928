"""The response model for the status of limits."""

from typing import Literal

from atrium.http.models import StrictModel
from atrium.kernel.clock import format_time
from atrium.quotas.limits import moment, show_limit
from atrium.quotas.model import LimitName
from atrium.quotas.status import LimitsStatus, LimitStatus
from atrium.tenants.plans import PlanName


class LimitStanding(StrictModel):
    """The current status of one limit. Money is USD as decimal text.

    Without a limit, `max` is -1, and `remaining` and `used` are null, because nothing is counted. `window_seconds` and
    `resets_at` are null for limits without a time window. `messages_per_session` is shown for a new session.
    """

    name: LimitName
    scope: Literal["platform", "tenant", "user", "key", "agent", "session", "run"]
    max: int | str
    used: int | str | None
    remaining: int | str | None
    window_seconds: int | None
    resets_at: str | None


class LimitsAnswer(StrictModel):
    """The plan, and all limits of the tenant and of the caller."""

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
