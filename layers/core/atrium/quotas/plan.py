"""Admission as a pure function: the item as read, the time and what is asked, to one write, or to why not.

The write is right whatever happened since the read, or it does not apply (`writing.py` says why).
"""

from dataclasses import dataclass

from atrium.quotas.charges import Entry
from atrium.quotas.model import UNBOUNDED, Reading, Refused
from atrium.quotas.refusal import find_bound, read, refuse
from atrium.quotas.state import State
from atrium.quotas.writing import SweepMark, Writing
from atrium.storage.keys import Key
from atrium.storage.writes import Update


@dataclass(frozen=True, slots=True)
class Planned:
    """The write that admits, and the second that it counts in."""

    update: Update
    second: int
    lease_until: int


@dataclass(frozen=True, slots=True)
class Present:
    """The run was admitted already: its slot as it stands."""

    second: int
    tokens: int
    cost_nanos: int
    marks: str
    lease_until: int


@dataclass(frozen=True, slots=True)
class Tidying:
    """A write that only drops old seconds, because they are more than one write can name; then plan again."""

    update: Update


@dataclass(frozen=True, slots=True)
class Misplaced:
    """The item was dealt out over another number of shards: the limits that the entry rests on are not the tenant's."""


@dataclass(frozen=True, slots=True)
class Unleased:
    """The tenant's limits admit it, but the item's block of the platform's ceiling is full or over: lease first."""

    until: int


type Plan = Planned | Present | Tidying | Misplaced | Unleased | Refused


def plan_admission(key: Key, entry: Entry, state: State, mark: SweepMark | None = None) -> Plan:
    """Decide on one item. A refusal is as true as the item was when it was read."""
    if entry.lease is not None:
        slot = state.slots.get(entry.lease.name) or state.late.get(entry.lease.name)
        if slot is not None:
            return Present(slot["b"], slot["t"], slot["c"], slot["m"], slot["e"])
    if not state.has_parts(entry.parts):
        return Misplaced()
    bounds = [bound for charge in entry.charges if (bound := find_bound(charge, state)) is not None]
    if bounds:
        return refuse(bounds, state, read_all(entry, state))
    before = state.before_many()
    if before is not None:
        return Tidying(Writing(Entry((), parts=entry.parts), before).update(key))
    writing = Writing(entry, state, mark)
    if entry.in_block and not _has_room(state, writing.lease_until):
        return Unleased(writing.lease_until)
    update = writing.update(key)
    return Planned(update, state.at, writing.lease_until)


def _has_room(state: State, until: int) -> bool:
    """Tell whether the item's block has a slot that is free, or whose lease is over, for long enough."""
    return state.block.until >= until and len(state.slots) - len(state.lapsed) < state.block.size


def read_all(entry: Entry, state: State) -> tuple[Reading, ...]:
    """Return the figures of every limit that an entry is charged to, as they stand; not of what is only counted."""
    return tuple(read(charge, state) for charge in entry.charges if charge.max < UNBOUNDED)


def plan_blind(key: Key, entry: Entry, now: float, mark: SweepMark | None = None) -> Planned:
    """Return the write that is right under load, where the item's time is this very second; no read is needed."""
    state = State({"roll": int(now), "slots": {}, "late": {}}, now)
    writing = Writing(entry, state, mark)
    return Planned(writing.update(key), state.at, writing.lease_until)
