"""What is asked of admission, and what it answers. Money is nano-dollars, tokens and calls are integers.

A limit's figure is -1 where there is none. Moments are seconds of the Unix epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from atrium.kernel.ids import RunId
from atrium.quotas.estimate import Estimate

type Scope = Literal["platform", "tenant", "user", "key", "agent", "session", "run"]
type LimitName = Literal[
    "requests_per_minute", "tokens_per_minute", "tool_calls_per_minute", "requests_per_day", "sessions_per_day",
    "tokens_per_month", "cost_per_month", "concurrent_turns", "messages_per_session", "users", "agents",
]  # fmt: skip
type PlatformLimit = Literal["platform_concurrency"]
type Limits = Mapping[LimitName, int]

LIMIT_NAMES: tuple[LimitName, ...] = get_args(LimitName.__value__)
UNLIMITED = -1
UNBOUNDED = 1 << 60
"""The figure of what is counted though no limit bounds it, so that a limit that is set later finds it."""
LEASE_SECONDS = 60
NANOS_PER_USD = 1_000_000_000
_TOKENS: frozenset[LimitName] = frozenset({"tokens_per_minute", "tokens_per_month"})
_MONEY: frozenset[LimitName] = frozenset({"cost_per_month"})


@dataclass(frozen=True, slots=True)
class Subject:
    """A user, key or agent with limits of its own. They come on top of the tenant's, never instead of them.

    Its counters lie in the tenant's items, whose size every write pays for; those of one that is `apart` in its own.
    """

    scope: Literal["user", "key", "agent"]
    id: str
    limits: Limits
    apart: bool = False


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """One turn that wants to begin. The holds are upper bounds of what it will use until it is settled.

    With an `estimate` they may be lowered to what still fits: the answer becomes shorter, the prompt does not.
    """

    run_id: RunId
    tokens_hold: int
    cost_hold_nanos: int
    new_session: bool = False
    subjects: tuple[Subject, ...] = ()
    estimate: Estimate | None = None

    def __post_init__(self) -> None:
        if self.tokens_hold < 0 or self.cost_hold_nanos < 0:
            raise ValueError("a hold is not negative")

    def within(self, hold: "Hold") -> "AdmissionRequest":
        """Return the request for no more than what is held of it already elsewhere."""
        return replace(self, tokens_hold=hold.tokens, cost_hold_nanos=hold.cost_nanos)

    def lowered(self, readings: "Sequence[Reading]") -> "AdmissionRequest | None":
        """Return the request with the longest answer that fits, else with the shortest that makes sense.

        None where that is what it asks for already.
        """
        if self.estimate is None:
            return None
        fitted = self.estimate.fitted(_left_of(readings, _TOKENS), _left_of(readings, _MONEY)) or self.estimate.least
        if (fitted.tokens, fitted.cost_nanos) == (self.tokens_hold, self.cost_hold_nanos):
            return None
        return replace(self, tokens_hold=fitted.tokens, cost_hold_nanos=fitted.cost_nanos)


@dataclass(frozen=True, slots=True)
class Hold:
    """What an admitted run holds until it is settled, as its slot records it; keep it with the run.

    `second` is the bucket that its tokens were counted in, and names the month; `marks` say which counters it was
    charged to, so that a limit that is set or lifted meanwhile moves nothing. A run that nothing limits has no marks.
    What is held is for one model call, the run's `call`th; what those before it used is settled, and `past`.
    `place` is the subject in whose own item it lies, empty for the tenant's; a tenant's knows those `apart`.
    """

    run_id: RunId
    shard: int
    second: int
    tokens: int
    cost_nanos: int
    marks: str = ""
    lease_until: int = 0
    recorded: bool = True
    call: int = 1
    past_tokens: int = 0
    past_cost_nanos: int = 0
    place: str = ""
    apart: tuple["Hold", ...] = ()

    @property
    def tokens_in_all(self) -> int:
        """The most that the run can have used by now, with the call that may be under way."""
        return self.past_tokens + self.tokens

    @property
    def cost_in_all_nanos(self) -> int:
        return self.past_cost_nanos + self.cost_nanos


@dataclass(frozen=True, slots=True)
class Used:
    """What a run has used in all by now."""

    tokens: int
    cost_nanos: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One limit as it stands after the decision. `resets_at` is None where no passing of time frees it."""

    limit: LimitName
    scope: Scope
    used: int
    max: int
    resets_at: float | None


@dataclass(frozen=True, slots=True)
class Admitted:
    """The run may go on. `repeated` where an earlier, perhaps lost, answer had admitted it already."""

    hold: Hold
    readings: tuple[Reading, ...] = ()
    repeated: bool = False
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was charged. `retry_after_seconds` is None where waiting does not help."""

    limit: LimitName | PlatformLimit
    scope: Scope
    used: int
    max: int
    resets_at: float | None
    retry_after_seconds: int | None
    readings: tuple[Reading, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was asked for is counted; nothing is held."""

    readings: tuple[Reading, ...] = ()
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """This call settled the run: its slot is free, its counters say what it really used."""


@dataclass(frozen=True, slots=True)
class NotHeld:
    """Nothing is held for that run here: unknown, another tenant's, or settled already. No counter moved."""


@dataclass(frozen=True, slots=True)
class Renewed:
    lease_until: int


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """The slot went to somebody else, or the run is settled: the worker must stop. No counter moved."""


@dataclass(frozen=True, slots=True)
class Extended:
    """The run may make its next model call; the hold is for that one."""

    hold: Hold
    readings: tuple[Reading, ...] = ()


type Decision = Admitted | Refused
type Extension = Extended | Refused | LeaseLost
type Settlement = Settled | NotHeld
type Heartbeat = Renewed | LeaseLost


def _left_of(readings: Sequence[Reading], names: frozenset[LimitName]) -> int | None:
    """Return what is left of the tightest of some limits, None where none of them bounds."""
    return min((reading.max - reading.used for reading in readings if reading.limit in names), default=None)
