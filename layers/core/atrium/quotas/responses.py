"""Renders decisions for clients: `RateLimit` headers (draft-ietf-httpapi-ratelimit-headers) and errors.

    RateLimit-Policy: "requests_per_minute";q=60;w=60, "tokens_per_minute";q=40000;w=60;qu="tokens"
    RateLimit: "requests_per_minute";r=59;t=61

Limit names of a user, key or agent are prefixed with the scope: `"user.requests_per_minute"`.
"""

from dataclasses import replace
from datetime import datetime
from math import ceil

from atrium.kernel.clock import format_time
from atrium.kernel.errors import ConcurrencyLimited, LimitReached, RateLimited
from atrium.quotas.limits import DEFINITIONS, moment, show_limit, window_seconds
from atrium.quotas.model import Admitted, LimitUsage, Recorded, Rejected

DEGRADED = "X-Atrium-Degraded"
_ERRORS = {"minute": RateLimited, "slots": ConcurrencyLimited}
_PERIODS = {"minute": " per minute", "day": " per day", "month": " per month", "slots": " at once"}


def rate_limit_headers(decision: Admitted | Recorded | Rejected, now: float) -> dict[str, str]:
    """Return a decision's headers at `now` (epoch seconds). A degraded decision has `X-Atrium-Degraded: limits`."""
    found: dict[str, str] = {}
    usages = _true_for(decision) if isinstance(decision, Rejected) else decision.usages
    if usages:
        found["RateLimit-Policy"] = ", ".join(_policy(usage, now) for usage in usages)
        found["RateLimit"] = ", ".join(_state(usage, now) for usage in usages)
    if isinstance(decision, Rejected):
        if decision.retry_after_seconds is not None:
            found["Retry-After"] = str(decision.retry_after_seconds)
    elif decision.degraded:
        found[DEGRADED] = "limits"
    return found


def limit_error(rejected: Rejected, now: datetime) -> LimitReached:
    """Return a rejection's error (status 429): `RATE_LIMITED`, `CONCURRENCY_LIMITED` or `QUOTA_EXCEEDED`.

    The error is not retryable if the limit does not reset, or if the call is larger than the whole limit.
    """
    span = "slots" if rejected.limit == "platform_concurrency" else DEFINITIONS[rejected.limit].span
    maximum = show_limit(rejected.limit, rejected.max)
    headers = rate_limit_headers(rejected, now.timestamp())
    headers.pop("Retry-After", None)
    return _ERRORS.get(span, LimitReached)(
        f"The {rejected.scope}'s limit {rejected.limit} is {maximum}{_PERIODS.get(span, '')}.",
        retryable=rejected.retry_after_seconds is not None,
        retry_after_seconds=rejected.retry_after_seconds,
        extensions={
            "limit": rejected.limit,
            "scope": rejected.scope,
            "used": show_limit(rejected.limit, rejected.used),
            "max": maximum,
            "resets_at": None if rejected.resets_at is None else format_time(moment(rejected.resets_at)),
        },
        headers=headers,
    )


def full_session(used: int, maximum: int) -> Rejected:
    """Return the rejection of a message in a session that has the maximum number of messages."""
    usage = LimitUsage("messages_per_session", "session", used, maximum, None)
    return Rejected("messages_per_session", "session", used, maximum, None, None, (usage,))


def _true_for(rejected: Rejected) -> tuple[LimitUsage, ...]:
    """Return the usages of a rejection. For the exceeded limit, the reset time is when the request fits again."""
    bound = (rejected.limit, rejected.scope)
    return tuple(
        replace(each, resets_at=rejected.resets_at)
        if (each.limit, each.scope) == bound and rejected.resets_at is not None
        else each
        for each in rejected.usages
    )


def _name(usage: LimitUsage) -> str:
    return f'"{usage.limit}"' if usage.scope == "tenant" else f'"{usage.scope}.{usage.limit}"'


def _policy(usage: LimitUsage, now: float) -> str:
    definition = DEFINITIONS[usage.limit]
    window = window_seconds(definition.span, now)
    parts = [_name(usage), f"q={_shown(usage, usage.max)}"]
    parts += [f"w={window}"] if window else []
    parts += [f'qu="{definition.unit}"'] if definition.unit else []
    return ";".join(parts)


def _state(usage: LimitUsage, now: float) -> str:
    parts = [_name(usage), f"r={max(0, _shown(usage, usage.max - usage.used))}"]
    if usage.resets_at is not None:
        parts.append(f"t={max(0, ceil(usage.resets_at - now))}")
    return ";".join(parts)


def _shown(usage: LimitUsage, figure: int) -> int:
    """Return a value that fits the 15 digits of a structured field integer. Money is converted to microdollars."""
    return figure // 1000 if DEFINITIONS[usage.limit].is_money else figure
