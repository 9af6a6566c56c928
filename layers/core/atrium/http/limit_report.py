"""The answer of every call that shows how limits stand."""

from typing import Literal

from atrium.http.models import StrictModel
from atrium.kernel.clock import format_time
from atrium.quotas.limits import show_limit
from atrium.quotas.meters import moment
from atrium.quotas.model import LimitName
from atrium.quotas.overview import Overview, Standing
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


def render_limits(overview: Overview) -> LimitsAnswer:
    return LimitsAnswer(plan=overview.plan, limits=[_render(each) for each in overview.standings])


def _render(standing: Standing) -> LimitStanding:
    return LimitStanding(
        name=standing.name,
        scope=standing.scope,
        max=show_limit(standing.name, standing.max),
        used=None if standing.used is None else show_limit(standing.name, standing.used),
        remaining=None if standing.remaining is None else show_limit(standing.name, standing.remaining),
        window_seconds=standing.window_seconds,
        resets_at=None if standing.resets_at is None else format_time(moment(standing.resets_at)),
    )
