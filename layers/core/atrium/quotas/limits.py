"""The table of limits, and functions that resolve their values: the tenant's value, else the plan's, else the default.

All checks, counters, headers and documents use `DEFINITIONS`. Money is in nano-dollars here, and in USD in the API.
"""

import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from atrium.kernel.errors import ValidationFailed
from atrium.kernel.ids import KeyId, UserId
from atrium.llm.catalogue import NANOS_PER_USD, to_nanos
from atrium.quotas.model import SLOTS_MAX, UNLIMITED, LimitName, ScopeLimits
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.tenants.context import Principal
from atrium.tenants.plans import PLANS, PlanName

type Span = Literal["minute", "day", "month", "slots", "session", "count"]
type Place = Literal["admission", "tool_calls", "session", "counts"]
type Counted = Literal["r", "t", "c", "s", "k", "x", ""]
"""A counted quantity: requests, tokens, cost, sessions, tool calls or concurrent turns; "" if no item counts it."""
type Amounts = Mapping[Counted, int]

WINDOW_SECONDS = 60
BUCKETS = WINDOW_SECONDS + 1
"""Number of buckets in a window. The oldest second is counted in full, even if only its end is in the window."""
DAY_SECONDS = 86_400
_MONEY = "microdollars"
_MONEY_TEXT = re.compile(r"(?:0|[1-9]\d{0,11})(?:\.\d{1,6})?")


@dataclass(frozen=True, slots=True)
class LimitDefinition:
    """One limit. `default` applies if neither plan nor tenant sets a value. `meaning` is the text for OpenAPI.

    `letter` is the counted quantity, and the first letter of its counter attributes. With `for_subjects`, users, API
    keys and agents can also have the limit. `unit` is the parameter `qu` in headers.
    """

    name: LimitName
    meaning: str
    span: Span
    letter: Counted
    maximum: int
    place: Place = "admission"
    default: int = UNLIMITED
    for_subjects: bool = True
    unit: str = ""

    @property
    def is_money(self) -> bool:
        return self.unit == _MONEY

    def counter(self, second: int) -> str:
        """Return the name of the attribute that contains the sum of the limit's window, day or month."""
        match self.span:
            case "day":
                return f"{self.letter}d{moment(second):%Y%m%d}"
            case "month":
                return f"{self.letter}m{moment(second):%Y%m}"
            case _:
                return f"{self.letter}n"


DEFINITIONS: Mapping[LimitName, LimitDefinition] = {
    each.name: each
    for each in (
        LimitDefinition("requests_per_minute", "Turns admitted in a minute", "minute", "r", 60_000),
        LimitDefinition(
            "tokens_per_minute", "Input and output tokens in a minute", "minute", "t", 1_000_000_000, unit="tokens"
        ),
        LimitDefinition(
            "tool_calls_per_minute", "Tool calls in a minute", "minute", "k", 60_000, "tool_calls", default=60
        ),
        LimitDefinition("requests_per_day", "Turns admitted in a UTC day", "day", "r", 100_000_000),
        LimitDefinition("sessions_per_day", "New sessions in a UTC day", "day", "s", 100_000_000, default=100),
        LimitDefinition(
            "tokens_per_month",
            "Input and output tokens in a UTC month",
            "month",
            "t",
            1_000_000_000_000,
            default=1_000_000,
            unit="tokens",
        ),
        LimitDefinition(
            "cost_per_month",
            "Cost in USD in a UTC month, as decimal text",
            "month",
            "c",
            10_000_000 * NANOS_PER_USD,
            unit=_MONEY,
        ),
        LimitDefinition(
            "concurrent_turns",
            "Turns that run at the same time",
            "slots",
            "x",
            SLOTS_MAX,
            default=5,
            unit="concurrent-requests",
        ),
        LimitDefinition(
            "messages_per_session",
            "User messages in a session",
            "session",
            "",
            10_000,
            "session",
            default=50,
            for_subjects=False,
        ),
        LimitDefinition("users", "Users of the tenant", "count", "", 1_000_000, "counts", for_subjects=False),
        LimitDefinition("agents", "Agents of the tenant", "count", "", 100_000, "counts", for_subjects=False),
    )
}
WINDOWED: frozenset[Counted] = frozenset(
    each.letter for each in DEFINITIONS.values() if (each.span, each.place) == ("minute", "admission")
)
"""The quantities that an admission item counts in windows."""
SUBJECT_LIMITS = frozenset(name for name, each in DEFINITIONS.items() if each.for_subjects)
_NAMES: Mapping[str, LimitName] = {name: name for name in DEFINITIONS}
_PLANNED: Mapping[PlanName, Mapping[LimitName, int]] = {
    plan: {
        _NAMES[name]: to_nanos(Decimal(value))
        if DEFINITIONS[_NAMES[name]].is_money and value != UNLIMITED
        else int(value)
        for name, value in entry.limits.items()
    }
    for plan, entry in PLANS.items()
}
"""The limits of each plan, with money in nano-dollars."""


def moment(second: float) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def calendar_counters(amounts: Amounts, second: int) -> dict[str, int]:
    """Return the amounts by counter attribute, for the day and the month that contain a second."""
    return {
        each.counter(second): amounts[each.letter]
        for each in DEFINITIONS.values()
        if each.span in {"day", "month"} and each.letter in amounts
    }


def ends_at(span: Span, second: float) -> float | None:
    """Return the end of the UTC day or month that contains a time, or None if `span` is neither day nor month."""
    if span == "day":
        return float((int(second) // DAY_SECONDS + 1) * DAY_SECONDS)
    now = moment(second)
    following = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    return following.timestamp() if span == "month" else None


def window_seconds(span: Span, now: float) -> int | None:
    """Return the length of a window in seconds, or None if `span` has no window. A month has its actual length."""
    if span == "month":
        return monthrange(moment(now).year, moment(now).month)[1] * DAY_SECONDS
    return {"minute": WINDOW_SECONDS, "day": DAY_SECONDS}.get(span)


def resolve_limits(plan: PlanName, overrides: Mapping[LimitName, int | None]) -> dict[LimitName, int]:
    """Return a tenant's limits, one for each name of the table. None in `overrides` selects the plan's value."""
    own = {name: value for name, value in overrides.items() if value is not None}
    return {name: {**_PLANNED[plan], **own}.get(name, each.default) for name, each in DEFINITIONS.items()}


def tenant_limits(tenant: Mapping[str, Any]) -> dict[LimitName, int]:
    """Return a tenant's limits, read from its item: the plan's limits, overridden by the limits set on the tenant."""
    return resolve_limits(tenant["plan"], read_limits(tenant))


def read_limits(item: Mapping[str, Any] | None) -> dict[LimitName, int]:
    """Return the limits that the item of a tenant, user, API key or agent contains. Unknown names are omitted."""
    own: Mapping[str, int] = (item or {}).get("limits") or {}
    return {_NAMES[name]: figure for name, figure in own.items() if name in _NAMES}


def principal_place(principal: Principal) -> Key | None:
    """Return the key of the item with a caller's limits, or None if the caller cannot have limits.

    An API key is counted under the id of the first key in its rotation chain, but has the limits of its own item.
    """
    match principal.type:
        case "user":
            return keys.user(UserId(principal.id))
        case "key":
            return keys.api_key(KeyId(principal.credential_id or principal.id))
        case _:
            return None


def principal_scope(principal: Principal, item: Mapping[str, Any] | None) -> ScopeLimits | None:
    """Return a caller's limits, read from the caller's item, or None if no limits are set."""
    own = read_limits(item)
    if not own or principal.type not in {"user", "key"}:
        return None
    return ScopeLimits("user" if principal.type == "user" else "key", own, principal.id)


def validate_limits(
    given: Mapping[str, object], *, known: frozenset[LimitName] = frozenset(DEFINITIONS)
) -> dict[LimitName, int | None]:
    """Parse limits from a request. Values of None are kept. Raise `ValidationFailed` with all invalid limits."""
    read: dict[LimitName, int | None] = {}
    errors: list[dict[str, object]] = []
    for text, value in given.items():
        name = _NAMES.get(text)
        if name is None or name not in known:
            errors.append(_error(text, f"unknown limit; valid limits: {', '.join(sorted(known))}", "unknown_limit"))
            continue
        figure = _read_figure(DEFINITIONS[name], value)
        maximum = DEFINITIONS[name].maximum
        if isinstance(figure, str):
            errors.append(_error(text, figure, "invalid_limit"))
        elif figure is not None and figure > maximum:
            errors.append(
                _error(text, f"must be at most {show_limit(name, maximum)}, or -1 for no limit", "limit_too_high")
            )
        else:
            read[name] = figure
    if errors:
        raise ValidationFailed("Some limits are invalid.", extensions={"errors": errors})
    return read


def show_limits(limits: Mapping[str, int]) -> dict[str, int | str]:
    """Return limits in the format of the API."""
    return {name: show_limit(name, figure) for name, figure in limits.items() if name in _NAMES}


def show_limit(name: str, figure: int) -> int | str:
    """Return a limit's value in the format of the API. Money is a decimal string in USD; -1 means no limit."""
    known = _NAMES.get(name)
    if known is None or not DEFINITIONS[known].is_money or figure == UNLIMITED:
        return figure
    return f"{Decimal(figure) / NANOS_PER_USD:.6f}"


def _read_figure(definition: LimitDefinition, value: object) -> int | str | None:
    """Return the value, or an error message if it is invalid."""
    if value is None:
        return None
    if definition.is_money:
        return _read_money(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < UNLIMITED:
        return "must be an integer of at least 0, or -1 for no limit"
    return value


def _read_money(value: object) -> int | str:
    if value == str(UNLIMITED) or (value == UNLIMITED and type(value) is int):
        return UNLIMITED
    if not isinstance(value, str) or _MONEY_TEXT.fullmatch(value) is None:
        return "must be a decimal string in USD with at most six decimals, or -1 for no limit"
    return to_nanos(Decimal(value))


def _error(name: str, message: str, kind: str) -> dict[str, object]:
    return {"loc": ["body", name], "msg": message, "type": kind}
