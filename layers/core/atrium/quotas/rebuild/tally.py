"""What the counters of a day and a month should be: what the ledger has, and what open runs hold.

A counter is right at its item's fence if it has, of each call that was admitted before, what is held while the call is
open and what it used once it is settled. The ledger is written before a hold is settled, so a call that is in
neither the slots nor the ledger has not been admitted.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from atrium.kernel.ids import read_time
from atrium.quotas.charges import slot_name
from atrium.quotas.meters import METERS, moment, prefix_of
from atrium.quotas.model import LimitName
from atrium.quotas.rebuild.fencing import Look
from atrium.quotas.state import marks_of
from atrium.usage.model import Charged, LedgerEntry

REBUILT: Mapping[LimitName, str] = {
    "requests_per_day": "d",
    "sessions_per_day": "so",
    "tokens_per_month": "m",
    "cost_per_month": "c",
}
"""What can be told from the ledger, by the letters of its mark. Sessions that began without a call are in no ledger."""

_OPENED = "o"  # the session began with an earlier model call of the run

_SUBJECTS: Mapping[str, Literal["user", "key"]] = {"usr": "user", "key": "key"}
_DAILY: frozenset[LimitName] = frozenset({"requests_per_day", "sessions_per_day"})
_PREFIX = re.compile(r"(?:[uka][0-9a-f]{6}_)?")


@dataclass(frozen=True, slots=True)
class CounterName:
    """A counter: of the tenant (no prefix) or of a subject, of one limit, in the day or month of the tally."""

    prefix: str
    limit: LimitName

    def attribute(self, second: int) -> str:
        return METERS[self.limit].attribute(self.prefix, second)


@dataclass(slots=True)
class CounterTally:
    """Adds up what the counters of one moment's day and month should be. `second` is that moment.

    With a `place` it is about the item of the subject that is counted there: calls of others are not its.
    `known` are the counters that there are, or should be. `unseen` are items that calls
    were counted in, but that were not looked at: they must be, and the ledger read again. `loose` is what a counter may
    lack without a fault: calls from before its limit was set, and what a call used before the month began.
    """

    looks: Sequence[Look]
    second: int
    place: str = ""
    wanted: Counter[CounterName] = field(default_factory=Counter)
    known: set[CounterName] = field(default_factory=set)
    loose: Counter[CounterName] = field(default_factory=Counter)
    unseen: set[int] = field(default_factory=set)
    _open: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _fences: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._fences = {look.shard: look.second for look in self.looks}
        for look in self.looks:
            self._open |= look.slots
            self.known |= {name for attribute in look.item if (name := self._name_of(attribute)) is not None}
        if self.looks:  # these are counted whether a limit bounds them or not
            self.known |= {CounterName("", limit) for limit in REBUILT if limit != "sessions_per_day"}
        for run, slot in self._open.items():
            self._add_held(run, slot)

    def add(self, entry: LedgerEntry) -> None:
        """Add a settled call, unless it is open still as the counters see it, or came after their fence."""
        if slot_name(entry.run_id) in self._open:
            return
        charged, amounts = (entry.apart.get(self.place) if self.place else entry.charged), _amounts(entry)
        if charged is not None and charged.shard not in self._fences:
            self.unseen.add(charged.shard)
        marks = marks_of(charged.marks) if charged else {}
        came_later = charged is not None and charged.second >= self._fences.get(charged.shard, 0)
        for prefix in [""] if self.place else _prefixes(entry):
            for limit, letters in REBUILT.items():
                is_marked = any(letter in marks.get(prefix, "") for letter in letters)
                if limit == "sessions_per_day" and not is_marked:
                    continue  # in a session that there was, or nothing bounded it then
                counts_itself = is_marked or (charged is not None and limit == "requests_per_day")
                if not self._is_now(limit, _second_of(entry, charged, limit)) or (came_later and counts_itself):
                    continue
                name = CounterName(prefix, limit)
                self._want(name, amounts[limit], known=is_marked)
                if not is_marked or read_time(entry.run_id).month != moment(self.second).month:
                    self.loose[name] += amounts[limit]

    def add_begun(self, begun: Charged) -> None:
        """Add a session that began without a call, unless it came after the fence of its item."""
        if begun.shard not in self._fences:
            self.unseen.add(begun.shard)
        if begun.second >= self._fences.get(begun.shard, 0) or not self._is_now("sessions_per_day", begun.second):
            return
        for prefix, letters in marks_of(begun.marks).items():
            if "s" in letters:
                self._want(CounterName(prefix, "sessions_per_day"), 1, known=True)

    def differences(self) -> dict[CounterName, int]:
        """Return by how much counters are too low, or too high (negative), all items together; no other."""
        return {name: off for name in self.known if (off := self.wanted[name] - self.stored(name))}

    def stored(self, name: CounterName) -> int:
        """Return what all items together have."""
        return sum(int(look.item.get(name.attribute(self.second), 0)) for look in self.looks)

    def _add_held(self, run: str, slot: Mapping[str, Any]) -> None:
        """Add what an open call has in the counters: its last model call's hold, and what those before it used."""
        held: dict[LimitName, int] = {
            "requests_per_day": 1,
            "sessions_per_day": 1,
            "tokens_per_month": slot["t"] + slot.get("u", 0),
            "cost_per_month": slot["c"] + slot.get("d", 0),
        }
        is_extended = slot.get("n", 1) > 1
        for prefix, letters in marks_of(slot["m"]).items():
            for limit, known in REBUILT.items():
                by_run = is_extended and limit in _DAILY
                second = int(read_time(f"run_{run}").timestamp()) if by_run else slot["b"]
                if known[0] in letters and self._is_now(limit, second):
                    self._want(CounterName(prefix, limit), held[limit], known=True)

    def _want(self, name: CounterName, amount: int, *, known: bool) -> None:
        self.wanted[name] += amount
        if known:
            self.known.add(name)

    def _is_now(self, limit: LimitName, second: int) -> bool:
        meter = METERS[limit]
        return meter.attribute("", second) == meter.attribute("", self.second)

    def _name_of(self, attribute: str) -> CounterName | None:
        found = _PREFIX.match(attribute)
        prefix = found[0] if found else ""
        names = (CounterName(prefix, limit) for limit in REBUILT)
        return next((name for name in names if name.attribute(self.second) == attribute), None)


def _amounts(entry: LedgerEntry) -> dict[LimitName, int]:
    return {
        "requests_per_day": 1,
        "sessions_per_day": 1,
        "tokens_per_month": entry.total_tokens,
        "cost_per_month": entry.cost_nanos,
    }


def _prefixes(entry: LedgerEntry) -> list[str]:
    """Return whose counters a call belongs to: the tenant's, its user's or key's, its agent's."""
    found = ["", prefix_of("agent", entry.agent_id)]
    scope = _SUBJECTS.get(entry.principal_id.partition("_")[0])
    return [*found, prefix_of(scope, entry.principal_id)] if scope else found


def _has(letter: str, marks: str) -> bool:
    return any(letter in letters for letters in marks_of(marks).values())


def _second_of(entry: LedgerEntry, charged: Charged | None, limit: LimitName) -> int:
    """Return when a call counts: a request when it was admitted, tokens and money when its last model call was.

    Where nothing bounded it, or the mark of its admission is gone, that is when its run was made. So is a session's.
    """
    made = int(read_time(entry.run_id).timestamp())
    if charged is None or (limit == "requests_per_day" and not _has("d", charged.marks)):
        return made
    return made if limit == "sessions_per_day" and _has(_OPENED, charged.marks) else charged.second
