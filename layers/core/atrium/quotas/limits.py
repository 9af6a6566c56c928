"""Which limits hold: the plan's, over them the tenant's own; beneath both the base default. And what may be asked.

Inside, money is nano-dollars; outside it is a decimal string in USD with six decimals at most.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from atrium.kernel.errors import ValidationFailed
from atrium.quotas.model import LIMIT_NAMES, NANOS_PER_USD, UNLIMITED, LimitName, Limits
from atrium.tenants.plans import PLANS, PlanName

BASE_DEFAULT: Limits = {
    "sessions_per_day": 100,
    "messages_per_session": 50,
    "tokens_per_month": 1_000_000,
    "concurrent_turns": 5,
    "tool_calls_per_minute": 60,
}
PLATFORM_MAXIMUM: Limits = {
    "requests_per_minute": 60_000,
    "tokens_per_minute": 1_000_000_000,
    "tool_calls_per_minute": 60_000,
    "requests_per_day": 100_000_000,
    "sessions_per_day": 100_000_000,
    "messages_per_session": 10_000,
    "tokens_per_month": 1_000_000_000_000,
    "cost_per_month": 10_000_000 * NANOS_PER_USD,
    "concurrent_turns": 1_000,
    "users": 1_000_000,
    "agents": 100_000,
}
SUBJECT_LIMITS: frozenset[LimitName] = frozenset(PLATFORM_MAXIMUM) - {"messages_per_session", "users", "agents"}
MONEY: frozenset[LimitName] = frozenset({"cost_per_month"})
_NAMES: Mapping[str, LimitName] = {name: name for name in LIMIT_NAMES}
_MONEY_TEXT = re.compile(r"(?:0|[1-9]\d{0,11})(?:\.\d{1,6})?")


def resolve_limits(plan: PlanName, overrides: Mapping[LimitName, int | None]) -> dict[LimitName, int]:
    """Return a tenant's limits, every name of the plan table. An override of None is the plan's."""
    planned = {_NAMES[name]: _internal(name, value) for name, value in PLANS[plan].limits.items()}
    own = {name: value for name, value in overrides.items() if value is not None}
    every = {**BASE_DEFAULT, **planned, **own}
    return {name: every.get(name, UNLIMITED) for name in LIMIT_NAMES}


def read_limits(item: Mapping[str, Any] | None) -> dict[LimitName, int]:
    """Return the own limits of a tenant, user, key or agent, as its item has them; unknown names fall out."""
    own: Mapping[str, int] = (item or {}).get("limits") or {}
    return {_NAMES[name]: figure for name, figure in own.items() if name in _NAMES}


def validate_limits(
    given: Mapping[str, object],
    *,
    known: frozenset[LimitName] = frozenset(PLATFORM_MAXIMUM),
    maximum: Limits = PLATFORM_MAXIMUM,
) -> dict[LimitName, int | None]:
    """Read limits as a client writes them; `ValidationFailed` names each that is wrong. None stays None."""
    read: dict[LimitName, int | None] = {}
    errors: list[dict[str, object]] = []
    for text, value in given.items():
        name = _NAMES.get(text)
        if name is None or name not in known:
            errors.append(_error(text, "there is no such limit here", "unknown_limit"))
            continue
        figure = _read_figure(name, value)
        if isinstance(figure, str):
            errors.append(_error(text, figure, "invalid_limit"))
        elif figure is not None and figure > maximum.get(name, figure):
            errors.append(_error(text, f"at most {show_limit(name, maximum[name])}", "limit_too_high"))
        else:
            read[name] = figure
    if errors:
        raise ValidationFailed("some limits are not valid", extensions={"errors": errors})
    return read


def show_limits(limits: Mapping[str, int]) -> dict[str, int | str]:
    """Return limits as clients see and send them."""
    return {name: show_limit(name, figure) for name, figure in limits.items() if name in PLATFORM_MAXIMUM}


def show_limit(name: str, figure: int) -> int | str:
    """Return a figure as clients see it: money as a decimal string, but -1 for none."""
    if name not in MONEY or figure == UNLIMITED:
        return figure
    return f"{Decimal(figure) / NANOS_PER_USD:.6f}"


def _read_figure(name: LimitName, value: object) -> int | str | None:
    """Return the figure, or what is wrong with it."""
    if value is None:
        return None
    if name in MONEY:
        return _read_money(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < UNLIMITED:
        return "a limit is an integer of at least -1"
    return value


def _read_money(value: object) -> int | str:
    if value == str(UNLIMITED) or (value == UNLIMITED and type(value) is int):
        return UNLIMITED
    if not isinstance(value, str) or _MONEY_TEXT.fullmatch(value) is None:
        return "money is a decimal string in USD with six decimals at most, or -1"
    return int(Decimal(value) * NANOS_PER_USD)


def _internal(name: str, value: int | Decimal) -> int:
    if value == UNLIMITED:
        return UNLIMITED
    return int(value * NANOS_PER_USD) if name in MONEY else int(value)


def _error(name: str, message: str, kind: str) -> dict[str, object]:
    return {"loc": ["body", name], "msg": message, "type": kind}
