"""When a failed call is made again: a pure decision. Nothing is repeated once an answer has begun."""

from dataclasses import dataclass

RETRYABLE_STATUSES = frozenset({408, 409, 429})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `retries` after the first call; pauses double from the first to the greatest, before the jitter."""

    retries: int = 3
    first_pause_seconds: float = 1.0
    pause_seconds_max: float = 60.0


def is_retryable(status: int) -> bool:
    """Tell whether a status may pass by itself: 408, 409, 429 and all of 5xx (529 is a provider's overload)."""
    return status in RETRYABLE_STATUSES or status >= 500


def pause_before_retry(
    policy: RetryPolicy,
    *,
    retries_made: int,
    retry_after_seconds: float | None,
    draw: float,
    remaining_seconds: float,
) -> float | None:
    """Return the seconds to wait before the next call, or None to give up.

    The provider's own Retry-After goes first; else full jitter: `draw` (0–1) of the doubled pause. What would
    wake at the deadline or later is not waited for.
    """
    if retries_made >= policy.retries:
        return None
    if retry_after_seconds is not None and retry_after_seconds > 0:
        pause = retry_after_seconds
    else:
        pause = draw * min(policy.first_pause_seconds * 2.0**retries_made, policy.pause_seconds_max)
    return pause if pause < remaining_seconds else None
