"""Computes the expected counters of one admission item from its look and the ledger."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atrium.kernel.ids import read_time
from atrium.quotas.limits import DEFINITIONS, Amounts
from atrium.quotas.model import LimitName, Slot, slot_name
from atrium.usage.model import LedgerEntry

REBUILT: tuple[LimitName, ...] = tuple(name for name, each in DEFINITIONS.items() if each.span in {"day", "month"})


@dataclass(frozen=True, slots=True)
class Look:
    """An admission item as stored by the fence write. Amounts in `second` or later were counted after that write."""

    scope_id: str
    second: int
    attributes: Mapping[str, Any]

    @property
    def slots(self) -> dict[str, Slot]:
        found = {**self.attributes.get("slots", {}), **self.attributes.get("late", {})}
        return {name: Slot.parse(text) for name, text in found.items()}


@dataclass(slots=True)
class CounterTally:
    """The expected counters of one item. `unrecorded` is the usage of runs that were admitted but not counted."""

    look: Look
    wanted: Counter[LimitName] = field(default_factory=Counter)
    unrecorded: Counter[LimitName] = field(default_factory=Counter)
    _open: Mapping[str, Slot] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._open = self.look.slots
        for slot in self._open.values():
            self._add(slot.admitted, _amounts(slot.new_session, slot.tokens_in_all, slot.cost_in_all_nanos))

    def add(self, entry: LedgerEntry) -> None:
        """Add a settled run of the scope, unless the run is open in the look or was counted after the fence."""
        if slot_name(entry.run_id) in self._open:
            return
        counted = entry.admitted.get(self.look.scope_id)
        if counted is not None and counted >= self.look.second:
            return
        second = int(read_time(entry.run_id).timestamp()) if counted is None else counted
        amounts = _amounts(entry.new_session, entry.total_tokens, entry.cost_nanos)
        self._add(second, amounts)
        if counted is None:
            self._add(second, amounts, self.unrecorded)

    def add_session(self, counted: Mapping[str, int]) -> None:
        """Add a session that was created without a turn."""
        second = counted.get(self.look.scope_id)
        if second is not None and second < self.look.second:
            self._add(second, {"s": 1})

    def differences(self) -> dict[LimitName, int]:
        """Return the difference of each wrong counter: positive if it is too low, negative if it is too high."""
        return {name: off for name in REBUILT if (off := self.wanted[name] - self.stored(name))}

    def attribute(self, name: LimitName) -> str:
        return DEFINITIONS[name].counter(self.look.second)

    def stored(self, name: LimitName) -> int:
        return int(self.look.attributes.get(self.attribute(name), 0))

    def _add(self, second: int, amounts: Amounts, to: Counter[LimitName] | None = None) -> None:
        for name in REBUILT:
            if DEFINITIONS[name].counter(second) == self.attribute(name):
                (self.wanted if to is None else to)[name] += amounts.get(DEFINITIONS[name].letter, 0)


def _amounts(new_session: bool, tokens: int, cost_nanos: int) -> Amounts:
    return {"r": 1, "s": int(new_session), "t": tokens, "c": cost_nanos}
