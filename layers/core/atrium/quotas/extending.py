"""The write before each further model call of a run: what the last one held becomes what it used, and the next one's
hold is decided by every limit, in the same write. The slot stays, and counts the calls: a repetition meets its own.
"""

from dataclasses import dataclass, replace
from typing import Any

from atrium.quotas.charges import Entry, marks_for, slot_name
from atrium.quotas.meters import BUCKETS, METERS, bucket
from atrium.quotas.model import Hold, LeaseLost, Refused, Used
from atrium.quotas.plan import Misplaced, Tidying, read_all
from atrium.quotas.refusal import find_bound, refuse
from atrium.quotas.settling import find_hold
from atrium.quotas.state import State, marks_of, write_marks
from atrium.quotas.writing import Writing
from atrium.storage.keys import Key
from atrium.storage.writes import Update

_KEPT = "xds"  # the slot, the day's request and session: what a run is counted for once
_MONTHLY = {"m": METERS["tokens_per_month"], "c": METERS["cost_per_month"]}


@dataclass(frozen=True, slots=True)
class Next:
    """The next call of a run: its hold, and what the run has used in all before it."""

    tokens: int
    cost_nanos: int
    used: Used


@dataclass(frozen=True, slots=True)
class Continued:
    """The write, and the hold as it is then."""

    update: Update
    hold: Hold


type ExtensionPlan = Continued | Hold | Tidying | Misplaced | Refused | LeaseLost


def plan_extension(key: Key, hold: Hold, following: Next, entry: Entry, state: State) -> ExtensionPlan:
    """Decide on the item where the run's slot lies; a bare `Hold` is one that was extended already."""
    name = slot_name(hold.run_id)
    held = find_hold(hold, state) if name in state.slots else None
    if held is None:
        return LeaseLost()
    if held.call > hold.call:
        return held
    if not state.has_parts(entry.parts):
        return Misplaced()
    before = state.before_many()
    if before is not None:
        return Tidying(Writing(Entry((), parts=entry.parts), before).update(key))
    returned = _returned(held, following, state)
    corrected = _corrected(state, returned)
    bounds = [bound for charge in entry.charges if (bound := find_bound(charge, corrected)) is not None]
    if bounds:
        return refuse(bounds, corrected, read_all(entry, corrected))
    writing = _Extension(entry, state, held, following, returned)
    update = writing.update(key)
    extended = replace(
        held,
        second=state.at,
        tokens=following.tokens,
        cost_nanos=following.cost_nanos,
        marks=writing.marks,
        lease_until=writing.lease_until,
        call=held.call + 1,
        past_tokens=following.used.tokens,
        past_cost_nanos=following.used.cost_nanos,
    )
    return Continued(update, extended)


@dataclass(frozen=True, slots=True)
class _Returned:
    """What each counter is given back of the last call's hold: by family for the minute, by name for a month."""

    second: int
    minutes: dict[str, int]
    months: dict[str, int]


def _returned(held: Hold, following: Next, state: State) -> _Returned:
    tokens = held.tokens_in_all - following.used.tokens
    cost = held.cost_in_all_nanos - following.used.cost_nanos
    roll = state.roll or 0
    in_window = held.second <= roll and (state.is_set_back or state.at - BUCKETS < held.second)
    minutes: dict[str, int] = {}
    months: dict[str, int] = {}
    gone = set(state.outdated())
    for prefix, letters in marks_of(held.marks).items():
        if "t" in letters and in_window:
            minutes[prefix + "t"] = tokens
        for letter, amount in (("m", tokens), ("c", cost)):
            attribute = _MONTHLY[letter].attribute(prefix, held.second)
            if letter in letters and attribute not in gone and state.item and attribute in state.item:
                months[attribute] = amount
    return _Returned(held.second, minutes, months)


def _corrected(state: State, returned: _Returned) -> State:
    """Return the item as it is without the last call's hold, to decide on the next one."""
    item: dict[str, Any] = dict(state.item or {})
    for family, amount in returned.minutes.items():
        for attribute in (f"{family}n", bucket(family, returned.second)):
            item[attribute] = int(item.get(attribute, 0)) - amount
    for attribute, amount in returned.months.items():
        item[attribute] = int(item[attribute]) - amount
    return State(item, state.now)


class _Extension(Writing):
    """One write on the item as it stands, slot included."""

    def __init__(self, entry: Entry, state: State, held: Hold, following: Next, returned: _Returned) -> None:
        super().__init__(entry, state)
        self._held = held
        self._next = following
        self._back = returned
        kept = {
            prefix: "".join(each for each in letters if each in _KEPT)
            for prefix, letters in marks_of(held.marks).items()
        }
        charged = marks_of(marks_for(entry.charges))
        self.marks = write_marks({
            prefix: charged.get(prefix, "") + kept.get(prefix, "") for prefix in charged.keys() | kept.keys()
        })  # fmt: skip

    def update(self, key: Key) -> Update:
        self._require_layout()
        self._roll()
        self._give_back()
        for charge in self.entry.charges:
            self._charge(charge)
        self._write_seconds()
        self._renew_slot()
        return self._expression.update(key)

    def _give_back(self) -> None:
        second = self.state.at if self.state.is_set_back else self._back.second
        for family, amount in self._back.minutes.items():
            if not amount:
                continue
            self._freed[family] += amount
            attribute = bucket(family, second)
            if attribute in self._rewritten:
                self._rewritten[attribute] -= amount
            else:
                self._expression.add(attribute, -amount)
        if any(self._back.minutes.values()):
            self._expression.add("sv", 1)
        for attribute, amount in self._back.months.items():
            self._returned[attribute] += amount
            self._expression.add(attribute, -amount)

    def _renew_slot(self) -> None:
        path = f"slots.{slot_name(self._held.run_id)}"
        for field, held in (("b", self._held.second), ("t", self._held.tokens), ("c", self._held.cost_nanos)):
            self._expression.require_equal(f"{path}.{field}", held)
        if self._held.call == 1:
            self._expression.require_absent(f"{path}.n")
        else:
            self._expression.require_equal(f"{path}.n", self._held.call)
        if self.state.generation and self.state.block.until < self.lease_until:
            self.lease_until = self._held.lease_until  # a slot ends with its item's block: the heartbeat sees to both
        values: dict[str, int | str] = {
            "e": self.lease_until,
            "b": self.state.at,
            "t": self._next.tokens,
            "c": self._next.cost_nanos,
            "m": self.marks,
            "n": self._held.call + 1,
            "u": self._next.used.tokens,
            "d": self._next.used.cost_nanos,
        }
        for field, value in values.items():
            self._expression.set(f"{path}.{field}", value)
