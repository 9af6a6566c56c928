"""An admission item: the usage of one scope, and the slots of its running turns. The package docstring has the layout.

The item has a time, `at`. A caller whose clock is behind uses this time; a caller whose clock is ahead advances it. A
time that is more than `AHEAD_SECONDS_MAX` ahead of a caller's clock is set back, and all buckets move to the new time.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from atrium.quotas.limits import BUCKETS, DAY_SECONDS, DEFINITIONS, LimitDefinition, moment
from atrium.quotas.model import SLOTS_MAX, Slot
from atrium.storage.keys import Key
from atrium.storage.writes import Update

AHEAD_SECONDS_MAX = 120
MOVED_MAX = 32
"""Maximum number of expired slots that one write moves, because an expression is limited to 4 kB."""
_YOUNG_SECONDS = 1
_BUCKET = re.compile(rf"([{''.join(each.letter for each in DEFINITIONS.values() if each.span == 'minute')}])(\d\d)")
_DATED = re.compile(r"[rstc][dm](\d{8}|\d{6})")


def bucket(letter: str, second: int) -> str:
    """Return the attribute name of the bucket that counts a second."""
    return f"{letter}{second % BUCKETS:02}"


@dataclass(frozen=True)
class AdmissionItem:
    """The attributes of an admission item as read (None if the item does not exist), and the reader's time, `now`.

    `dated` is a second in the day and month whose counters are used, such as a run's admission. The default is `at`.
    """

    attributes: Mapping[str, Any] | None
    now: float
    dated: int | None = None

    @property
    def time(self) -> int | None:
        """Return the item's time; None before the first write."""
        return None if self.attributes is None or "at" not in self.attributes else int(self.attributes["at"])

    @property
    def version(self) -> int | None:
        return (self.attributes or {}).get("v")

    @property
    def is_ahead(self) -> bool:
        return self.time is not None and self.time - int(self.now) > AHEAD_SECONDS_MAX

    @cached_property
    def at(self) -> int:
        """Return the second in which a call that is admitted now is counted."""
        return int(self.now) if self.time is None or self.is_ahead else max(int(self.now), self.time)

    @cached_property
    def slots(self) -> Mapping[str, str]:
        """Encoded slots by slot name, including slots whose lease has expired (see `expired`)."""
        return self._map("slots")

    @cached_property
    def late(self) -> Mapping[str, str]:
        """Encoded slots that were moved to `late` after their lease expired. Only their reservations are counted."""
        return self._map("late")

    def find(self, name: str) -> Slot | None:
        """Return a run's slot, even if its lease has expired."""
        text = self.slots.get(name) or self.late.get(name)
        return Slot.parse(text) if text else None

    @cached_property
    def expired(self) -> list[str]:
        """Names of slots whose lease has expired, oldest first; at most as many as one write can move to `late`."""
        leases = sorted((Slot.parse(text).lease_until, name) for name, text in self.slots.items())
        room = min(MOVED_MAX, SLOTS_MAX - len(self.late))
        return [name for lease_until, name in leases if lease_until < self.now][: max(0, room)]

    @property
    def has_young(self) -> bool:
        """Whether a slot was acquired within the last second. Its turn may still be rejected by another scope."""
        return any(Slot.parse(text).admitted >= self.now - _YOUNG_SECONDS for text in self.slots.values())

    def value(self, attribute: str) -> int:
        return 0 if self.attributes is None else int(self.attributes.get(attribute, 0))

    def used(self, definition: LimitDefinition) -> int:
        """Return the usage of a limit at the time `at`."""
        match definition.span:
            case "minute":
                return sum(amount for _, amount in self.live(definition.letter))
            case "slots":
                return len(self.slots) - len(self.expired)
            case _:
                return self.value(definition.counter(self.at if self.dated is None else self.dated))

    @cached_property
    def buckets(self) -> list[tuple[int, str, str, int]]:
        """All stored buckets as tuples of second, letter, attribute name and amount, oldest first."""
        if self.attributes is None or self.time is None:
            return []
        time, moved = self.time, self.at if self.is_ahead else None
        found = []
        for attribute, amount in self.attributes.items():
            parts = _BUCKET.fullmatch(attribute)
            if parts is not None:
                second = time - (time - int(parts[2])) % BUCKETS if moved is None else moved
                found.append((second, parts[1], attribute, int(amount)))
        return sorted(found)

    def live(self, letter: str) -> list[tuple[int, int]]:
        """Return the seconds and amounts of the buckets that are in the window, oldest first."""
        first = self.at - BUCKETS
        return [(second, amount) for second, own, _, amount in self.buckets if own == letter and second > first]

    def counts_in_window(self, second: int) -> bool:
        """Return whether the bucket of a second is in the item's window."""
        return self.time is not None and second <= self.time < second + BUCKETS

    def outdated(self) -> list[str]:
        """Return the attribute names of counters of days before yesterday and of months before the last month."""
        yesterday = f"{moment(self.at - DAY_SECONDS):%Y%m%d}"
        now = moment(self.at)
        last_month = f"{now.year - (now.month == 1):04}{(now.month - 2) % 12 + 1:02}"
        oldest = {8: yesterday, 6: last_month}
        dated = [(name, found[1]) for name in self.attributes or () if (found := _DATED.fullmatch(name))]
        return [name for name, text in dated if text < oldest[len(text)]]

    def _map(self, name: str) -> Mapping[str, str]:
        return dict((self.attributes or {}).get(name, {}))


class ItemUpdate:
    """Builds one conditional update that also increments the item's version. Paths: `<attribute>` or `slots.<name>`."""

    def __init__(self) -> None:
        self._sets: list[str] = []
        self._adds: Counter[str] = Counter()
        self._removes: list[str] = []
        self._conditions: list[str] = []
        self._values: dict[str, Any] = {}
        self._aliases: dict[str, str] = {}

    def set(self, path: str, value: object) -> None:
        self._sets.append(f"{self._name(path)} = {self._value(value)}")

    def set_if_absent(self, attribute: str, value: object) -> None:
        name = self._name(attribute)
        self._sets.append(f"{name} = if_not_exists({name}, {self._value(value)})")

    def add(self, attribute: str, amount: int) -> None:
        """Add an amount to a number, which is 0 if it does not exist. Amounts for the same attribute are summed."""
        self._adds[attribute] += amount

    def remove(self, path: str) -> None:
        self._removes.append(self._name(path))

    def require(self, template: str, path: str, *values: object) -> None:
        """Add a condition. In the template, `{0}` is the path and `{1}` and higher are the values."""
        self._conditions.append(template.format(self._name(path), *(self._value(value) for value in values)))

    def require_version(self, version: int | None) -> None:
        """Require that the item was not written since it was read."""
        if version is None:
            self.require("attribute_not_exists({0})", "v")
        else:
            self.require("{0} = {1}", "v", version)

    def require_at_most(self, attribute: str, most: int) -> None:
        """Require that a counter is at most `most`. A counter that does not exist has the value 0."""
        below = "{0} <= {1}"
        self.require(below if most < 0 else f"(attribute_not_exists({{0}}) OR {below})", attribute, most)

    def build(self, key: Key) -> Update:
        self._adds["v"] += 1
        adds = [f"{self._name(name)} {self._value(amount)}" for name, amount in self._adds.items() if amount]
        clauses = (("SET", self._sets), ("ADD", adds), ("REMOVE", self._removes))
        text = " ".join(f"{word} {', '.join(parts)}" for word, parts in clauses if parts)
        names = {alias: attribute for attribute, alias in self._aliases.items()}
        return Update(key, text, " AND ".join(self._conditions), self._values, names, returns=False)

    def _value(self, value: object) -> str:
        name = f"v{len(self._values)}"
        self._values[name] = dict(value) if isinstance(value, Mapping) else value
        return f":{name}"

    def _name(self, path: str) -> str:
        return ".".join(f"#{self._aliases.setdefault(part, f'n{len(self._aliases)}')}" for part in path.split("."))
