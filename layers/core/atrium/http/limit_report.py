"""The response models for the status of limits."""

from atrium.http.models import StrictModel
from atrium.kernel.clock import format_time
from atrium.quotas.limits import moment, show_limit
from atrium.quotas.model import LimitName, QuotaScope
from atrium.quotas.status import LimitsStatus, LimitStatus
from atrium.tenants.plans import PlanName


class LimitStanding(StrictModel):
    """The current status of one limit. Money is a decimal string in USD.

    If there is no limit, `max` is -1, and `remaining` and `used` are null, because nothing is counted. `window_seconds`
    and `resets_at` are null for limits without a time window. `messages_per_session` is shown for a new session.
    """

    name: LimitName
    """Name of the limit."""
    scope: QuotaScope
    """Owner of the limit: the tenant, or the calling user or API key."""
    max: int | str
    """The limit: a whole number, or for `cost_per_month` a decimal string in USD. -1 means no limit."""
    used: int | str | None
    """Current usage, in the unit of `max`. Null if there is no limit."""
    remaining: int | str | None
    """Remaining amount, in the unit of `max`. Null if there is no limit."""
    window_seconds: int | None
    """Length of the window in seconds. Null for limits that do not reset with time."""
    resets_at: str | None
    """Time at which the window ends (RFC 3339, UTC). Null for limits that do not reset with time."""


class LimitsAnswer(StrictModel):
    """The tenant's plan, and all limits of the tenant and of the caller."""

    plan: PlanName
    """The tenant's plan."""
    limits: list[LimitStanding]
    """Every limit of the tenant and of the calling user or key."""


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
