"""A refusal as the failure that a client is told, with the code that its limit has."""

from atrium.kernel.clock import format_time
from atrium.kernel.errors import ConcurrencyLimited, LimitReached, RateLimited
from atrium.quotas.limits import show_limit
from atrium.quotas.meters import METERS, moment
from atrium.quotas.model import Refused

_WORDS = {"minute": "in this minute", "day": "today", "month": "this month", "slots": "at once"}


def failure_of(refused: Refused) -> LimitReached:
    """Return what to raise: `RATE_LIMITED`, `CONCURRENCY_LIMITED` or `QUOTA_EXCEEDED`, all 429."""
    meter = METERS.get(refused.limit)
    span = meter.span if meter else "month"
    kind = {"minute": RateLimited, "slots": ConcurrencyLimited}.get(span, LimitReached)
    maximum = show_limit(refused.limit, refused.max)
    return kind(
        f"the {refused.scope}'s limit {refused.limit} allows {maximum} {_WORDS[span]}",
        retry_after_seconds=refused.retry_after_seconds,
        extensions={
            "limit": refused.limit,
            "scope": refused.scope,
            "used": show_limit(refused.limit, refused.used),
            "max": maximum,
            "resets_at": None if refused.resets_at is None else format_time(moment(refused.resets_at)),
        },
    )
