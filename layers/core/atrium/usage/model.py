"""Ledger entries (written once, never changed), and amounts of usage that can be added. Money is in nano-dollars."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from typing import Literal, Self, get_args

from atrium.kernel.ids import AgentId, RunId, SessionId, TenantId
from atrium.llm.model import Usage

type Group = Literal["TOTAL", "MODEL", "AGENT", "TOOL", "USER", "KEY", "CLIENT", "END_USER"]

GROUPS: tuple[Group, ...] = get_args(Group.__value__)

_PRINCIPAL_GROUPS: Mapping[str, Group] = {"usr": "USER", "key": "KEY", "cli": "CLIENT"}


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """The usage of one settled run. `at` is the time of settlement, which determines the day of the aggregates.

    `tool_calls` is the number of calls by tool. `admitted` contains the second in which each admission item counted the
    run, by scope id ("" for the tenant). `estimated` means that the provider did not report all tokens, or that the run
    was interrupted and its reservation was recorded as an upper bound. `own_key` means that the run's last model was
    called with the tenant's own API key, so the tenant pays the provider.
    """

    run_id: RunId
    tenant_id: TenantId
    at: datetime
    agent_id: AgentId
    principal_id: str
    session_id: SessionId
    model: str
    provider: str
    status: str
    tokens: Usage = field(default_factory=Usage)
    tool_calls: Mapping[str, int] = field(default_factory=dict)
    cost_nanos: int = 0
    end_user: str = ""
    admitted: Mapping[str, int] = field(default_factory=dict)
    new_session: bool = False
    estimated: bool = False
    own_key: bool = False

    @property
    def total_tokens(self) -> int:
        """Return the number of tokens that limits count."""
        return self.tokens.prompt_tokens + self.tokens.output_tokens


@dataclass(frozen=True, slots=True)
class Arrival:
    """A ledger entry from the table's stream. The record's sequence number is stored as the entry's mark."""

    entry: LedgerEntry
    sequence: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Amounts of usage that can be added. `requests` is the number of settled runs. `own_key_cost_nanos` is the part of
    `cost_nanos` that was used with the tenant's own API keys.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    tool_calls: int = 0
    cost_nanos: int = 0
    own_key_cost_nanos: int = 0

    @classmethod
    def of_call(cls, tokens: Usage, tool_calls: int, cost_nanos: int, *, own_key: bool = False) -> Self:
        return cls(
            1,
            tokens.input_tokens,
            tokens.output_tokens,
            tokens.cache_read_tokens,
            tokens.cache_write_tokens,
            tool_calls,
            cost_nanos,
            cost_nanos if own_key else 0,
        )

    def __add__(self, other: Self) -> "Figures":
        return Figures(*(getattr(self, name) + getattr(other, name) for name in FIGURES))


FIGURES = tuple(each.name for each in fields(Figures))


@dataclass(frozen=True, slots=True)
class SumKey:
    """The key of a usage aggregate: a UTC day, a group, and a value of the group (empty for TOTAL)."""

    day: date
    group: Group
    value: str = ""


@dataclass(frozen=True, slots=True)
class Period:
    """A range of UTC days, including both ends."""

    first: date
    last: date

    def days(self) -> list[date]:
        return [self.first + timedelta(days=count) for count in range((self.last - self.first).days + 1)]


def month_of(day: date) -> Period:
    """Return the month that contains a day."""
    following = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
    return Period(day.replace(day=1), following - timedelta(days=1))


def principal_group(principal_id: str) -> Group | None:
    """Return the group of a principal's usage, or None if the id does not belong to a user, API key or client."""
    return _PRINCIPAL_GROUPS.get(principal_id.partition("_")[0])
