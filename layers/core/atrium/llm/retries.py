"""Pure functions that decide whether and when a failed model call is retried.

A call is not retried after its first output was received.
"""

from dataclasses import dataclass

RETRYABLE_STATUSES = frozenset({408, 409, 429})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number of retries after the first call, and the pauses before them.

    Before jitter, each pause is twice as long as the previous pause, up to the maximum.
    """

    retries: int = 3
    first_pause_seconds: float = 1.0
    pause_seconds_max: float = 60.0


def is_retryable(status: int) -> bool:
    """Return whether a failure with this status may be temporary: 408, 409, 429 or 5xx (529 reports an overload)."""
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

    Uses the provider's Retry-After if there is one. Otherwise uses full jitter: `draw` (0 to 1) times the doubled
    pause. Returns None if the pause would end at the deadline or later.
    """
    if retries_made >= policy.retries:
        return None
    if retry_after_seconds is not None and retry_after_seconds > 0:
        pause = retry_after_seconds
    else:
        pause = draw * min(policy.first_pause_seconds * 2.0**retries_made, policy.pause_seconds_max)
    return pause if pause < remaining_seconds else None
