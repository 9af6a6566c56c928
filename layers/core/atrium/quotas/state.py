"""An admission item as it was read, and what of it still counts at a moment.

The item carries its own time, `roll`. A clock behind it uses the item's; one that is ahead moves it on. Where the
item's time is absurdly far ahead (a clock was wrong by minutes) it is set back, and all that counts begins anew.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from atrium.quotas.meters import BUCKETS, Meter, is_outdated, read_bucket

AHEAD_SECONDS_MAX = 120
LAYOUT = "of"  # over how many shards the item was dealt; absent where it never was
SECONDS_SET_BACK_MAX = 400  # as many as an expression can name
SECONDS_DROPPED_MAX = 150


@dataclass(frozen=True, slots=True)
class Block:
    """Slots of the platform's ceiling that an item may use, until a moment; given back when idle where `scarce`."""

    size: int
    until: int
    scarce: bool = False


@dataclass(frozen=True)
class State:
    """`item` is None where nothing was ever admitted; `now` is the reader's clock."""

    item: Mapping[str, Any] | None
    now: float

    @property
    def roll(self) -> int | None:
        """The item's time; None where nothing was ever admitted, though counters may have been moved there."""
        return None if self.item is None or "roll" not in self.item else int(self.item["roll"])

    def has_parts(self, parts: int) -> bool:
        """Tell whether the item is one of so many, as far as anybody says (0: it does not matter)."""
        return not parts or self.item is None or self.item.get(LAYOUT, parts) == parts

    @cached_property
    def is_set_back(self) -> bool:
        if self.roll is None or self.item is None or self.roll - int(self.now) <= AHEAD_SECONDS_MAX:
            return False
        return sum(1 for name in self.item if read_bucket(name, self.roll)) <= SECONDS_SET_BACK_MAX

    @cached_property
    def at(self) -> int:
        """The second in which a call that is admitted now is counted."""
        if self.roll is None or self.is_set_back:
            return int(self.now)
        return max(int(self.now), self.roll)

    @cached_property
    def slots(self) -> Mapping[str, Mapping[str, Any]]:
        return self._map("slots")

    @cached_property
    def late(self) -> Mapping[str, Mapping[str, Any]]:
        return self._map("late")

    @property
    def block(self) -> Block:
        """The item's block of the platform's ceiling (`ceiling`); empty where it never had one."""
        return Block(self.value("bk"), self.value("bu"), bool(self.value("bs")))

    @property
    def generation(self) -> int:
        """How often the item's block was written."""
        return self.value("bg")

    @cached_property
    def lapsed(self) -> dict[str, Mapping[str, Any]]:
        """The slots whose lease is over by the reader's clock."""
        return {name: slot for name, slot in self.slots.items() if slot["e"] < self.now}

    @cached_property
    def _buckets(self) -> list[tuple[int, str, str, int]]:
        """Every second with something in it, oldest first: second, family, attribute, amount."""
        if self.item is None or self.roll is None:
            return []
        found = []
        for attribute, amount in self.item.items():
            place = read_bucket(attribute, self.roll)
            if place is not None:
                second = self.at if self.is_set_back else place[1]
                found.append((second, place[0], attribute, int(amount)))
        return sorted(found)

    def dead(self) -> Iterator[tuple[str, str, int]]:
        """Yield the family, attribute and amount of each second that has left the window."""
        for second, family, attribute, amount in self._buckets:
            if second <= self.at - BUCKETS:
                yield family, attribute, amount

    def before_many(self) -> "State | None":
        """Return the item at the moment by which only so many seconds have left as one write can drop.

        None where that is now. Only an item with many subjects that was idle needs it.
        """
        dead = [each for each in self._buckets if each[0] <= self.at - BUCKETS]
        if self.is_set_back or len(dead) <= SECONDS_DROPPED_MAX:
            return None
        return State(self.item, float(dead[SECONDS_DROPPED_MAX - 1][0] + BUCKETS))

    def seconds(self) -> list[tuple[str, str, int]]:
        """Return the family, attribute and amount of each second that has anything in it."""
        return [(family, attribute, amount) for _, family, attribute, amount in self._buckets]

    def live(self, family: str) -> list[tuple[int, int]]:
        """Return the seconds of a family that still count, oldest first, with their amounts."""
        return [
            (second, amount) for second, name, _, amount in self._buckets
            if name == family and second > self.at - BUCKETS
        ]  # fmt: skip

    def families(self) -> dict[str, int]:
        """Return what each family has in all its seconds, as the item was read."""
        sums: dict[str, int] = {}
        for _, family, _, amount in self._buckets:
            sums[family] = sums.get(family, 0) + amount
        return sums

    def used(self, meter: Meter, prefix: str) -> int:
        """Return what counts against a limit at `at`, without the leases that are over."""
        match meter.span:
            case "minute":
                return sum(amount for _, amount in self.live(prefix + meter.letter))
            case "slots" if not prefix:
                return len(self.slots) - len(self.lapsed)
            case "slots":
                return self.value(meter.attribute(prefix, self.at)) - self.lapsed_of(prefix)
            case _:
                return self.value(meter.attribute(prefix, self.at))

    def lapsed_of(self, prefix: str) -> int:
        """Return how many of a subject's counted slots have lapsed."""
        return sum(1 for slot in self.lapsed.values() if "x" in marks_of(slot["m"]).get(prefix, ""))

    def value(self, attribute: str) -> int:
        return 0 if self.item is None else int(self.item.get(attribute, 0))

    def outdated(self) -> list[str]:
        """Return the counters of days and months that nothing looks at any more."""
        return [] if self.item is None else [name for name in self.item if is_outdated(name, self.at)]

    def _map(self, name: str) -> Mapping[str, Mapping[str, Any]]:
        found: Mapping[str, Mapping[str, Any]] = {} if self.item is None else self.item.get(name, {})
        return found


def marks_of(text: str) -> dict[str, str]:
    """Read a slot's marks: the letters of the counters that it was charged to, by prefix."""
    found: dict[str, str] = {}
    for part in text.split():
        prefix, separator, letters = part.rpartition("_")
        found[prefix + separator] = letters
    return found


def write_marks(marks: Mapping[str, str]) -> str:
    return " ".join(prefix + letters for prefix, letters in sorted(marks.items()) if letters)
