"""Requests and results of admission. Money is in nano-dollars; times are seconds of the Unix epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from atrium.kernel.ids import RunId, own_ulid

type QuotaScope = Literal["platform", "tenant", "user", "key", "agent", "session", "run", "tool"]
type LimitName = Literal[
    "requests_per_minute", "tokens_per_minute", "tool_calls_per_minute", "requests_per_day", "sessions_per_day",
    "tokens_per_month", "cost_per_month", "concurrent_turns", "messages_per_session", "users", "agents",
]  # fmt: skip
type PlatformLimitName = Literal["platform_concurrency"]
type Limits = Mapping[LimitName, int]

UNLIMITED = -1
SLOTS_MAX = 128
"""Maximum number of concurrent turns of one scope. Each turn has an entry in the scope's admission item."""
SLOT_LEASE_SECONDS = 60
OUTPUT_TOKENS_MIN = 16
"""Minimum number of output tokens. A model call is rejected if the limits allow fewer."""
TENANT = ""
"""The id of the tenant's scope."""
_SLOT_FIELDS = 8


@dataclass(frozen=True, slots=True)
class ScopeLimits:
    """The limits of one scope: the tenant (`id` is empty), or a user, API key, agent or tool that has limits."""

    scope: QuotaScope
    limits: Limits
    id: str = TENANT

    def maximum(self, name: LimitName) -> int:
        """Return the value of a limit; -1 means no limit. Concurrent turns are always limited."""
        configured = self.limits.get(name, UNLIMITED)
        if name != "concurrent_turns":
            return configured
        return SLOTS_MAX if configured == UNLIMITED else min(configured, SLOTS_MAX)


def tool_scopes(name: str, calls_per_minute: int, scopes: Sequence[ScopeLimits]) -> tuple[ScopeLimits, ...]:
    """Return the scopes of a tool call: those of its turn, and first the tool, which has a limit of its own.

    The tool is omitted if its limit is not below the tenant's, because the tenant's limit is then reached first or at
    the same time. Such a call needs no write for the tool.
    """
    tenant = scopes[-1].maximum("tool_calls_per_minute")
    if tenant != UNLIMITED and tenant <= calls_per_minute:
        return tuple(scopes)
    return ScopeLimits("tool", {"tool_calls_per_minute": calls_per_minute}, f"TOOL#{name}"), *scopes


@dataclass(frozen=True, slots=True)
class Estimate:
    """Upper bounds of one model call: size and cost of the prompt, size of the answer, cost of one output token."""

    prompt_tokens: int
    prompt_cost_nanos: int
    output_tokens: int
    output_token_nanos: int

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens

    @property
    def cost_nanos(self) -> int:
        return self.prompt_cost_nanos + self.output_tokens * self.output_token_nanos

    @property
    def least(self) -> Self:
        """The estimate of the same call with the shortest useful answer (`OUTPUT_TOKENS_MIN`)."""
        return replace(self, output_tokens=min(self.output_tokens, OUTPUT_TOKENS_MIN))

    def fitted(self, tokens_left: int | None, cost_left_nanos: int | None) -> Self | None:
        """Return the estimate with the longest answer that fits the amounts, or None if `least` does not fit."""
        room = self.output_tokens
        if tokens_left is not None:
            room = min(room, tokens_left - self.prompt_tokens)
        if cost_left_nanos is not None:
            left = cost_left_nanos - self.prompt_cost_nanos
            room = min(room, left // self.output_token_nanos if self.output_token_nanos else room if left >= 0 else -1)
        return replace(self, output_tokens=room) if room >= self.least.output_tokens else None


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """A request to admit a turn or its next model call. With an `estimate`, fewer output tokens may be admitted."""

    run_id: RunId
    tokens: int
    cost_nanos: int
    new_session: bool = False
    estimate: Estimate | None = None

    def __post_init__(self) -> None:
        if self.tokens < 0 or self.cost_nanos < 0:
            raise ValueError("a reservation must not be negative")

    def lowered(self, tokens_left: int | None, cost_left_nanos: int | None) -> Self:
        """Return the request with the longest answer that fits the amounts, or with the shortest useful answer."""
        if self.estimate is None:
            return self
        fitted = self.estimate.fitted(tokens_left, cost_left_nanos) or self.estimate.least
        return replace(self, tokens=fitted.tokens, cost_nanos=fitted.cost_nanos)


@dataclass(frozen=True, slots=True)
class Slot:
    """The concurrency slot of a running turn in one admission item, with the reservation of its current model call.

    `call` is the number of the current call, starting at 1. The run is counted in the day and month of `admitted`, and
    the current call's tokens in `second` (both are times of the item). `past_*` is the usage of earlier calls.
    """

    admitted: int
    second: int
    tokens: int
    cost_nanos: int
    lease_until: int
    call: int = 1
    past_tokens: int = 0
    past_cost_nanos: int = 0
    new_session: bool = False

    @property
    def tokens_in_all(self) -> int:
        """Upper bound of the tokens that the run has used, including the current call."""
        return self.past_tokens + self.tokens

    @property
    def cost_in_all_nanos(self) -> int:
        return self.past_cost_nanos + self.cost_nanos

    @property
    def reservation_text(self) -> str:
        """The encoded slot without its lease, for write conditions. Numbers are hexadecimal; 0 is an empty string."""
        figures = (
            self.admitted, self.call - 1, self.second - self.admitted, self.tokens, self.cost_nanos,
            self.past_tokens, self.past_cost_nanos, int(self.new_session),
        )  # fmt: skip
        return ",".join(f"{figure:x}" if figure else "" for figure in figures) + ";"

    @property
    def text(self) -> str:
        return f"{self.reservation_text}{self.lease_until - self.admitted:x}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a stored slot. Raise `ValueError` if the text is invalid."""
        reserved, _, lease = text.partition(";")
        figures = [int(figure, 16) if figure else 0 for figure in reserved.split(",")]
        if len(figures) != _SLOT_FIELDS:
            raise ValueError(f"a slot has {_SLOT_FIELDS} fields before its lease")
        admitted, call, later, tokens, cost, past_tokens, past_cost, new_session = figures
        lease_until = admitted + int(lease, 16)
        return cls(
            admitted, admitted + later, tokens, cost, lease_until, call + 1, past_tokens, past_cost, bool(new_session)
        )


@dataclass(frozen=True, slots=True)
class Reservation:
    """A run's slots by scope id, the tenant's slot last.

    `platform_item` is the number of the platform item with the run's slot; None without a platform limit.
    `recorded` is False if the turn was admitted without being counted, because the table did not respond.
    """

    run_id: RunId
    slots: Mapping[str, Slot]
    platform_item: int | None = None
    recorded: bool = True

    @classmethod
    def unrecorded(cls, request: AdmissionRequest, now: float) -> Self:
        """Return the reservation of a turn that no admission item counts. It still bounds the run's model calls."""
        second = int(now)
        slot = Slot(second, second, request.tokens, request.cost_nanos, lease_end(now))
        return cls(request.run_id, {TENANT: slot}, recorded=False)

    @property
    def own(self) -> Slot:
        """The slot in the tenant's item."""
        return self.slots[TENANT]

    def advanced(self, used: "Used", request: AdmissionRequest) -> Self:
        """Return the reservation for the next model call of an unrecorded run."""
        slot = replace(
            self.own,
            tokens=request.tokens,
            cost_nanos=request.cost_nanos,
            call=self.own.call + 1,
            past_tokens=used.tokens,
            past_cost_nanos=used.cost_nanos,
        )
        return replace(self, slots={TENANT: slot})

    def settled(self, used: "Used") -> Self:
        """Return the reservation of a run whose slots were settled to its usage."""
        slots = {
            name: replace(slot, tokens=0, cost_nanos=0, past_tokens=used.tokens, past_cost_nanos=used.cost_nanos)
            for name, slot in self.slots.items()
        }
        return replace(self, slots=slots, platform_item=None)

    def to_item(self) -> dict[str, Any]:
        """Encode the reservation as an attribute of the run's item."""
        slots = {name or "tenant": slot.text for name, slot in self.slots.items()}
        return {"slots": slots, "platform": self.platform_item, "recorded": self.recorded}

    @classmethod
    def from_item(cls, run_id: RunId, item: Mapping[str, Any]) -> Self:
        texts = dict(item["slots"])  # a stored map has no order
        own = texts.pop("tenant")
        slots = {name: Slot.parse(text) for name, text in texts.items()} | {TENANT: Slot.parse(own)}
        return cls(run_id, slots, item.get("platform"), item["recorded"])


def lease_end(now: float) -> int:
    """Return the end of a lease that starts at `now`, in epoch seconds, rounded up to a full second."""
    return int(now) + 1 + SLOT_LEASE_SECONDS


def slot_name(run_id: RunId) -> str:
    """Return the name of a run's slots: the first ULID of the run's id. It also identifies the ledger entry."""
    return own_ulid(run_id)


@dataclass(frozen=True, slots=True)
class Used:
    """Actual usage of a run so far, over all its model calls."""

    tokens: int
    cost_nanos: int


@dataclass(frozen=True, slots=True)
class LimitUsage:
    """Current usage of one limit. `resets_at` is None if the limit does not reset."""

    limit: LimitName
    scope: QuotaScope
    used: int
    max: int
    resets_at: float | None


@dataclass(frozen=True, slots=True)
class Admitted:
    """The turn may begin. `degraded` means that the turn could not be counted."""

    reservation: Reservation
    usages: tuple[LimitUsage, ...] = ()
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The request was rejected and no counter changed. `retry_after_seconds` is None if waiting does not help."""

    limit: LimitName | PlatformLimitName
    scope: QuotaScope
    used: int
    max: int
    resets_at: float | None
    retry_after_seconds: int | None
    usages: tuple[LimitUsage, ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """The session or tool call is allowed. It was counted, unless the result is `degraded`. Nothing is reserved."""

    usages: tuple[LimitUsage, ...] = ()
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Extended:
    """The run may make its next model call with this reservation."""

    reservation: Reservation


@dataclass(frozen=True, slots=True)
class LeaseExpired:
    """The worker must stop: its slot's lease expired or the run is settled. The scope's counters did not change."""


type AdmissionDecision = Admitted | Rejected
type Extension = Extended | Rejected | LeaseExpired
