"""Defines the plans as data. -1 means unlimited. A tenant's limits override the limits of its plan."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

type PlanName = Literal["free", "starter", "pro", "enterprise"]
type ModelSize = Literal["small", "medium", "large"]

UNLIMITED = -1
ANY_MODEL = frozenset[ModelSize]({"small", "medium", "large"})


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan with its limits by API name (money in USD).

    The other settings are the allowed model sizes, the audit retention in days, and the maximum number of characters of
    a message.
    """

    name: PlanName
    limits: dict[str, int | Decimal]
    models: frozenset[ModelSize]
    audit_days: int
    message_characters: int


_LIMITS: dict[str, tuple[int | Decimal, int | Decimal, int | Decimal]] = {
    # limits of free, starter and pro; enterprise is unlimited. `quotas.limits` has the defaults of all other limits.
    "sessions_per_day": (50, 500, 5_000),
    "messages_per_session": (20, 50, 100),
    "tokens_per_month": (100_000, 1_000_000, 10_000_000),
    "concurrent_turns": (2, 10, 50),
    "requests_per_minute": (60, 300, 1_500),
    "requests_per_day": (1_000, 10_000, 100_000),
    "tokens_per_minute": (40_000, 200_000, 1_000_000),
    "tool_calls_per_minute": (60, 120, 600),
    "cost_per_month": (Decimal(1), Decimal(20), Decimal(200)),
    "users": (5, 20, 100),
    "agents": (10, 20, 100),
}


def _limits(column: int) -> dict[str, int | Decimal]:
    return {name: values[column] for name, values in _LIMITS.items()}


PLANS: dict[PlanName, Plan] = {
    "free": Plan(
        "free",
        _limits(0),
        frozenset({"small"}),
        30,
        10_000,
    ),
    "starter": Plan(
        "starter",
        _limits(1),
        frozenset({"small", "medium"}),
        90,
        20_000,
    ),
    "pro": Plan(
        "pro",
        _limits(2),
        ANY_MODEL,
        365,
        50_000,
    ),
    "enterprise": Plan("enterprise", dict.fromkeys(_LIMITS, UNLIMITED), ANY_MODEL, 730, 100_000),
}
