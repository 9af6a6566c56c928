"""The one write that admits. It is right whatever happened since the read, or it does not apply: every limit is in
its condition, and so is each thing that it drops.

A second can only change after its end by a settlement, which counts in `sv`; so where many seconds leave at once
(sparse load) that number stands for all of them. What a write finds under a name that it read as empty is added to.
"""

from collections import Counter
from dataclasses import dataclass

from atrium.quotas.charges import Charge, Entry, Lease
from atrium.quotas.expression import Expression
from atrium.quotas.meters import bucket
from atrium.quotas.model import LEASE_SECONDS
from atrium.quotas.state import LAYOUT, State, marks_of
from atrium.storage.keys import Key
from atrium.storage.writes import Update

GUARDED_SECONDS_MAX = 24
LATE_MAX = 32


@dataclass(frozen=True, slots=True)
class SweepMark:
    """Where an item with slots is found by the sweeper, which takes the mark away when it has none left."""

    partition: str
    sort: str


class Writing:
    """Puts one write together; use it once."""

    def __init__(self, entry: Entry, state: State, mark: SweepMark | None = None) -> None:
        self.entry = entry
        self.state = state
        self._mark = mark
        self.lease_until = int(state.now) + 1 + LEASE_SECONDS
        self._expression = Expression()
        self._freed: Counter[str] = Counter()  # by family
        self._rewritten: dict[str, int] = {}  # seconds that are dropped or begun anew, with what they then have
        self._dropped: Counter[str] = Counter()  # lapsed slots by prefix
        self._returned: Counter[str] = Counter()  # by counter of a month

    def update(self, key: Key) -> Update:
        self._require_layout()
        if self.state.roll is None:
            self._begin()
        else:
            self._roll()
            if self._is_full():
                self._drop_lapsed()
        for charge in self.entry.charges:
            self._charge(charge)
        if self.entry.in_block:
            self._require_block()
        self._write_seconds()
        for prefix, count in self._dropped.items():
            if prefix:
                self._expression.add(f"{prefix}xn", -count)
        if self.entry.lease is not None and self.state.roll is not None:
            self._take(self.entry.lease)
        if self.entry.lease is not None and self._mark is not None:
            self._expression.set_if_absent("sweep_pk", self._mark.partition)
            self._expression.set_if_absent("sweep_sk", self._mark.sort)
        return self._expression.update(key)

    def _require_layout(self) -> None:
        """Require that the item was not dealt out over another number of shards than the entry knows."""
        if self.entry.parts:
            self._expression.require_absent_or(LAYOUT, self.entry.parts)

    def _begin(self) -> None:
        lease = self.entry.lease
        self._expression.require_absent("roll")
        self._expression.set("roll", self.state.at)
        self._expression.set("slots", {lease.name: self._slot(lease)} if lease else {})
        self._expression.set("late", {})

    def _roll(self) -> None:
        """Move the item's time on, and drop what has left the window."""
        roll, at = self.state.roll, self.state.at
        self._expression.require_equal("roll", roll)
        if roll == at:
            return
        self._expression.set("roll", at)
        for name in self.state.outdated():
            self._expression.remove(name)
        if self.state.is_set_back:
            self._set_back()
        else:
            self._drop_dead()

    def _drop_dead(self) -> None:
        dead = list(self.state.dead())
        many = len(dead) > GUARDED_SECONDS_MAX
        if many:
            self._expression.require_same("sv", self.state.item)
        for family, attribute, amount in dead:
            if not many or attribute == bucket(family, self.state.roll or 0):
                self._expression.require_equal(attribute, amount)
            self._freed[family] += amount
            self._rewritten[attribute] = 0

    def _set_back(self) -> None:
        """Count all that is in the window as of now: the item's time was wrong, so nobody knows better."""
        for family, attribute, _ in self.state.seconds():
            self._expression.require_same(f"{family}n", self.state.item)
            self._rewritten[attribute] = 0
        for family, total in self.state.families().items():
            self._rewritten[bucket(family, self.state.at)] = total

    def _is_full(self) -> bool:
        """Tell whether a slot can only be had by dropping those whose lease is over."""
        if self.entry.in_block and len(self.state.slots) >= self.state.block.size > 0:
            return True
        for charge in self.entry.charges:
            if charge.meter.span == "slots":
                taken = len(self.state.slots) if not charge.prefix else self.state.value(f"{charge.prefix}xn")
                if taken + charge.amount > charge.max:
                    return True
        return False

    def _drop_lapsed(self) -> None:
        """Move the slots whose lease is over to `late`; each must still be so (a heartbeat may have renewed it)."""
        for name, slot in self.state.lapsed.items():
            self._expression.require_equal(f"slots.{name}.e", slot["e"])
            self._expression.remove(f"slots.{name}")
            self._expression.set(f"late.{name}", slot)
            self._dropped[""] += 1
            self._dropped.update(prefix for prefix, letters in marks_of(slot["m"]).items() if "x" in letters)
        oldest = sorted(self.state.late, key=lambda name: (self.state.late[name]["e"], name))
        for name in oldest[: max(0, len(oldest) + len(self.state.lapsed) - LATE_MAX)]:
            self._expression.remove(f"late.{name}")

    def _charge(self, charge: Charge) -> None:
        attribute = charge.meter.attribute(charge.prefix, self.state.at)
        room = charge.max - charge.amount
        match charge.meter.span:
            case "minute":
                family = charge.prefix + charge.meter.letter
                self._expression.require_at_most(attribute, room + self._freed[family])
                self._expression.add(attribute, charge.amount)
                second = bucket(family, self.state.at)
                if second in self._rewritten:
                    self._rewritten[second] += charge.amount
                else:
                    self._expression.add(second, charge.amount)
            case "slots" if not charge.prefix:
                if self.state.roll is not None:
                    self._expression.require_fewer("slots", charge.max + self._dropped[""])
            case "slots":
                self._expression.require_at_most(attribute, room + self._dropped[charge.prefix])
                self._expression.add(attribute, charge.amount)
            case _:
                self._expression.require_at_most(attribute, room + self._returned[attribute])
                self._expression.add(attribute, charge.amount)

    def _require_block(self) -> None:
        """Require a free slot in the item's block of the platform's ceiling, for as long as the lease is."""
        self._expression.require_at_least("bu", self.lease_until)
        if self.state.roll is None:
            self._expression.require_at_least("bk", 1)
        elif self._dropped[""]:
            self._expression.require_equal("bk", self.state.block.size)
            self._expression.require_fewer("slots", self.state.block.size + self._dropped[""])
        else:
            self._expression.require_within("slots", "bk", room=True)

    def _write_seconds(self) -> None:
        for family, freed in self._freed.items():
            self._expression.add(f"{family}n", -freed)
        for attribute, amount in self._rewritten.items():
            if amount:
                self._expression.set(attribute, amount)
            else:
                self._expression.remove(attribute)

    def _take(self, lease: Lease) -> None:
        self._expression.require_absent(f"slots.{lease.name}")
        self._expression.require_absent(f"late.{lease.name}")
        self._expression.set(f"slots.{lease.name}", self._slot(lease))

    def _slot(self, lease: Lease) -> dict[str, int | str]:
        return {
            "e": self.lease_until,
            "b": self.state.at,
            "t": lease.tokens,
            "c": lease.cost_nanos,
            "m": lease.marks,
        }
