"""The plans as data. -1 means unlimited. A tenant's own limits override those of its plan."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

type PlanName = Literal["free", "starter", "pro", "enterprise"]
type ModelSize = Literal["small", "medium", "large"]

UNLIMITED = -1
ANY_MODEL = frozenset[ModelSize]({"small", "medium", "large"})


@dataclass(frozen=True, slots=True)
class Plan:
    """The limits of a plan by their API names (money in USD), and what else the plan includes.

    These are the allowed model sizes, the audit retention in days, and the maximum number of characters of a message.
    """

    name: PlanName
    limits: dict[str, int | Decimal]
    models: frozenset[ModelSize]
    audit_days: int
    message_characters: int


_NAMES = (
    "sessions_per_day", "messages_per_session", "tokens_per_month", "concurrent_turns", "requests_per_minute",
    "requests_per_day", "tokens_per_minute", "tool_calls_per_minute", "cost_per_month", "users", "agents",
)  # fmt: skip


def _limits(*values: int | Decimal) -> dict[str, int | Decimal]:
    return dict(zip(_NAMES, values, strict=True))


PLANS: dict[PlanName, Plan] = {
    "free": Plan(
        "free",
        _limits(50, 20, 100_000, 2, 60, 1_000, 40_000, 60, Decimal(1), 5, 10),
        frozenset({"small"}),
        30,
        10_000,
    ),
    "starter": Plan(
        "starter",
        _limits(500, 50, 1_000_000, 10, 300, 10_000, 200_000, 120, Decimal(20), 20, 20),
        frozenset({"small", "medium"}),
        90,
        20_000,
    ),
    "pro": Plan(
        "pro",
        _limits(5_000, 100, 10_000_000, 50, 1_500, 100_000, 1_000_000, 600, Decimal(200), 100, 100),
        ANY_MODEL,
        365,
        50_000,
    ),
    "enterprise": Plan("enterprise", _limits(*[UNLIMITED] * len(_NAMES)), ANY_MODEL, 730, 100_000),
}
