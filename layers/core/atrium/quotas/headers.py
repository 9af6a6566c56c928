"""`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers) for a decision, as structured fields.

    RateLimit-Policy: "requests_per_minute";q=60;w=60, "tokens_per_minute";q=40000;w=60;qu="tokens"
    RateLimit: "requests_per_minute";r=59;t=61

A subject's policy is named with its scope before it: `"user.requests_per_minute"`. Slots have no window.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import ceil

from atrium.quotas.meters import METERS, window_seconds
from atrium.quotas.model import Decision, LimitName, Reading, Recorded, Refused

DEGRADED = "X-Atrium-Degraded"

_UNITS: Mapping[LimitName, str] = {
    "tokens_per_minute": "tokens",
    "tokens_per_month": "tokens",
    "cost_per_month": "microdollars",
    "concurrent_turns": "concurrent-requests",
}


def rate_limit_headers(decision: Decision | Recorded, now: float) -> dict[str, str]:
    """Return the headers of a decision, and `Retry-After` where waiting helps; `now` in seconds of the epoch.

    An admission that could not be counted says so in `X-Atrium-Degraded: limits`.
    """
    found: dict[str, str] = {}
    readings = _true_for(decision) if isinstance(decision, Refused) else decision.readings
    if readings:
        found["RateLimit-Policy"] = ", ".join(_policy(reading, now) for reading in readings)
        found["RateLimit"] = ", ".join(_state(reading, now) for reading in readings)
    wait = getattr(decision, "retry_after_seconds", None)
    if wait is not None:
        found["Retry-After"] = str(wait)
    if not isinstance(decision, Refused) and decision.degraded:
        found[DEGRADED] = "limits"
    return found


def _true_for(refused: Refused) -> tuple[Reading, ...]:
    """Return the figures with the time of the limit that bound: until then not enough of it is free for this call."""
    return tuple(
        replace(each, resets_at=refused.resets_at)
        if (each.limit, each.scope) == (refused.limit, refused.scope) and refused.resets_at is not None
        else each
        for each in refused.readings
    )


def _name(reading: Reading) -> str:
    return f'"{reading.limit}"' if reading.scope == "tenant" else f'"{reading.scope}.{reading.limit}"'


def _policy(reading: Reading, now: float) -> str:
    meter = METERS.get(reading.limit)
    window = window_seconds(meter.span, now) if meter else None
    unit = _UNITS.get(reading.limit)
    parts = [_name(reading), f"q={_shown(reading, reading.max)}"]
    parts += [f"w={window}"] if window else []
    parts += [f'qu="{unit}"'] if unit else []
    return ";".join(parts)


def _state(reading: Reading, now: float) -> str:
    parts = [_name(reading), f"r={max(0, _shown(reading, reading.max - reading.used))}"]
    if reading.resets_at is not None:
        parts.append(f"t={max(0, ceil(reading.resets_at - now))}")
    return ";".join(parts)


def _shown(reading: Reading, figure: int) -> int:
    """Return a figure that a structured field's integer can hold: fifteen digits."""
    return figure // 1000 if reading.limit == "cost_per_month" else figure
