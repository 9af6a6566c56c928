"""What a call is charged for, limit by limit. A limit of -1 is not charged, so it has no counter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atrium.kernel.ids import RunId, own_ulid
from atrium.quotas.meters import METERS, Meter, prefix_of
from atrium.quotas.model import UNLIMITED, AdmissionRequest, LimitName, Limits, Scope, Subject
from atrium.quotas.state import write_marks

_MARKS: dict[LimitName, str] = {
    "requests_per_minute": "r",
    "requests_per_day": "d",
    "sessions_per_day": "s",
    "tokens_per_minute": "t",
    "tokens_per_month": "m",
    "cost_per_month": "c",
}


@dataclass(frozen=True, slots=True)
class Charge:
    """An amount against one limit of one scope; never 0, and the limit never -1."""

    meter: Meter
    scope: Scope
    prefix: str
    amount: int
    max: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The slot that a run asks for, by its short name, with what it holds."""

    name: str
    tokens: int
    cost_nanos: int
    marks: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What one admission item is asked for, all or nothing, where the tenant has so many of them (0: however many).

    `in_block`: its slot must lie in the item's block of the platform's ceiling.
    """

    charges: tuple[Charge, ...]
    lease: Lease | None = None
    parts: int = 0
    in_block: bool = False


def slot_name(run_id: RunId) -> str:
    """Return a run's name among the slots: its own half of the id, by which its ledger entry is found again."""
    return own_ulid(run_id)


def is_limited(limits: Limits, subjects: tuple[Subject, ...] = ()) -> bool:
    """Tell whether anything that admission counts has a limit at all."""
    every = (limits, *(subject.limits for subject in subjects))
    return any(each.get(name, UNLIMITED) != UNLIMITED for each in every for name in METERS)


def entry_of(request: AdmissionRequest, limits: Limits) -> Entry:
    """Return what a turn is charged under a tenant's limits (or a shard's share of them) and its subjects' own."""
    amounts: dict[LimitName, int] = {
        "requests_per_minute": 1,
        "requests_per_day": 1,
        "sessions_per_day": int(request.new_session),
        "tokens_per_minute": request.tokens_hold,
        "tokens_per_month": request.tokens_hold,
        "cost_per_month": request.cost_hold_nanos,
        "concurrent_turns": 1,
    }
    charges = entry_of_amounts(amounts, limits, request.subjects).charges
    lease = Lease(slot_name(request.run_id), request.tokens_hold, request.cost_hold_nanos, marks_for(charges))
    return Entry(charges, lease)


def entry_of_amounts(amounts: Mapping[LimitName, int], limits: Limits, subjects: Sequence[Subject] = ()) -> Entry:
    """Return what some amounts are charged; each limit of the tenant and of its subjects that bounds one of them."""
    charges = charged(amounts, limits)
    for subject in subjects:
        charges += charged(amounts, subject.limits, scope=subject.scope, prefix=prefix_of(subject.scope, subject.id))
    return Entry(tuple(charges))


def charged(
    amounts: Mapping[LimitName, int], limits: Limits, *, scope: Scope = "tenant", prefix: str = ""
) -> list[Charge]:
    """Return a charge for each amount that a limit bounds."""
    found = []
    for name, amount in amounts.items():
        bound = limits.get(name, UNLIMITED)
        if amount and bound != UNLIMITED:
            found.append(Charge(METERS[name], scope, prefix, amount, bound))
    return found


def marks_for(charges: tuple[Charge, ...]) -> str:
    """Return which counters were charged, for whoever settles them or takes them back."""
    marks: dict[str, str] = {}
    for charge in charges:
        letter = _MARKS.get(charge.meter.limit, "")
        if charge.meter.span == "slots" and charge.prefix:
            letter = "x"
        marks[charge.prefix] = marks.get(charge.prefix, "") + letter
    return write_marks(marks)
