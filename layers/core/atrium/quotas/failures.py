"""A refusal as the failure that a client is told, with the code that its limit has."""

from datetime import datetime

from atrium.kernel.clock import format_time
from atrium.kernel.errors import ConcurrencyLimited, LimitReached, RateLimited
from atrium.quotas.headers import rate_limit_headers
from atrium.quotas.limits import show_limit
from atrium.quotas.meters import METERS, moment
from atrium.quotas.model import Reading, Refused

_WORDS = {"minute": "in this minute", "day": "today", "month": "this month", "slots": "at once"}


def failure_of(refused: Refused, now: datetime) -> LimitReached:
    """Return what to raise: `RATE_LIMITED`, `CONCURRENCY_LIMITED` or `QUOTA_EXCEEDED`, all 429.

    It cannot be retried where no time frees the limit: a session that is full, a call that is larger than the whole.
    """
    if refused.limit == "platform_concurrency":
        span = "slots"
    else:
        meter = METERS.get(refused.limit)
        span = meter.span if meter else ""
    kind = {"minute": RateLimited, "slots": ConcurrencyLimited}.get(span, LimitReached)
    maximum = show_limit(refused.limit, refused.max)
    headers = rate_limit_headers(refused, now.timestamp())
    headers.pop("Retry-After", None)
    return kind(
        f"the {refused.scope}'s limit {refused.limit} allows {maximum} {_WORDS.get(span, '')}".rstrip(),
        retryable=refused.retry_after_seconds is not None,
        retry_after_seconds=refused.retry_after_seconds,
        extensions={
            "limit": refused.limit,
            "scope": refused.scope,
            "used": show_limit(refused.limit, refused.used),
            "max": maximum,
            "resets_at": None if refused.resets_at is None else format_time(moment(refused.resets_at)),
        },
        headers=headers,
    )


def session_is_full(used: int, maximum: int) -> Refused:
    """Return the refusal of a message in a session that has all it may have; no time frees it."""
    reading = Reading("messages_per_session", "session", used, maximum, None)
    return Refused("messages_per_session", "session", used, maximum, None, None, (reading,))
