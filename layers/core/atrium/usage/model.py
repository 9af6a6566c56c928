"""A ledger entry, and figures that add up. Money is nano-dollars.

A ledger entry is written once per settled call and never changed; sums are made from it, by day and group.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal, Self

from atrium.kernel.ids import AgentId, RunId, SessionId, TenantId
from atrium.llm.model import Usage

type Group = Literal["TOTAL", "MODEL", "AGENT", "USER", "KEY", "CLIENT", "END_USER", "SESSION", "TOOL"]

_PRINCIPAL_GROUPS: Mapping[str, Group] = {"usr": "USER", "key": "KEY", "cli": "CLIENT"}


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One settled call. `at` is when it was settled: it decides the day that it counts in.

    `principal_id` is the user, key or client that called; `tool_calls` counts calls by tool. `admitted` says in which
    second each admission item counted the run, by the id of its scope (empty for the tenant's); it is empty for a run
    that was admitted without being counted. What is `estimated` was reserved for a model call whose end nobody saw:
    the upper bound of what it used.
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

    @property
    def total_tokens(self) -> int:
        """Tokens as limits count them."""
        return self.tokens.prompt_tokens + self.tokens.output_tokens


@dataclass(frozen=True, slots=True)
class Arrival:
    """An entry that the table's stream has brought; `sequence` is the record's number, kept as the mark."""

    entry: LedgerEntry
    sequence: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What is summed. `requests` counts settled calls."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    tool_calls: int = 0
    cost_nanos: int = 0

    def __add__(self, other: Self) -> "Figures":
        return Figures(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.tool_calls + other.tool_calls,
            self.cost_nanos + other.cost_nanos,
        )


@dataclass(frozen=True, slots=True)
class SumKey:
    """Which sum: a UTC day, a group, and a value of it (empty for TOTAL)."""

    day: date
    group: Group
    value: str = ""


@dataclass(frozen=True, slots=True)
class Period:
    """UTC days, both included."""

    first: date
    last: date

    def days(self) -> list[date]:
        return [self.first + timedelta(days=count) for count in range((self.last - self.first).days + 1)]


def month_of(day: date) -> Period:
    """Return the days of a day's month."""
    following = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
    return Period(day.replace(day=1), following - timedelta(days=1))


def principal_group(principal_id: str) -> Group | None:
    """Return the group in which a principal's own usage is summed; None for what is no user, key or client."""
    return _PRINCIPAL_GROUPS.get(principal_id.partition("_")[0])
