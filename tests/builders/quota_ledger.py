"""The expected state of a tenant's admission items, for `tests.builders.quota_model`.

After each write, `Ledger` compares all counters and limits of the item with values that it computes from the slots that
appear, change and disappear.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from atrium.quotas.item import AdmissionItem
from atrium.quotas.limits import BUCKETS, DEFINITIONS, LimitDefinition
from atrium.quotas.model import UNLIMITED, LimitName, ScopeLimits, Slot, Used


@dataclass
class Worker:
    """One operation in progress. `used` is the settled usage, or None if the operation undoes an admission."""

    what: str
    now: Callable[[], float]
    limits: Mapping[str, ScopeLimits] = field(default_factory=dict)
    used: Used | None = None
    used_of: Callable[[str], Used | None] | None = None
    thread: Any = None
    answer: Any = None
    faults: int = 0
    writes: int = 0


@dataclass
class Stay:
    """The expected state of a run in an admission item. `calls` are pairs of start second and counted tokens."""

    slot: Slot
    calls: list[tuple[int, int]]
    state: Literal["open", "settled", "undone"] = "open"
    used: Used = field(default_factory=lambda: Used(0, 0))

    @property
    def tokens(self) -> int:
        return {"open": self.slot.tokens_in_all, "settled": self.used.tokens, "undone": 0}[self.state]

    @property
    def cost_nanos(self) -> int:
        return {"open": self.slot.cost_in_all_nanos, "settled": self.used.cost_nanos, "undone": 0}[self.state]


@dataclass
class Ledger:
    """The expected state of one admission item, computed independently of the service."""

    open: dict[str, Stay] = field(default_factory=dict)
    stays: list[Stay] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)
    sessions: list[int] = field(default_factory=list)

    def note(self, scope_id: str, before: Mapping[str, Any], after: Mapping[str, Any], worker: Worker) -> None:
        """Apply the change of a write to the expected state, then compare the item with it."""
        was, now = slots_of(before), slots_of(after)
        assert not after["slots"].keys() & after["late"].keys()
        assert not after["slots"].keys() & before.get("late", {}).keys(), "a late slot came back"
        for name in after["late"].keys() & before.get("slots", {}).keys():
            assert was[name].lease_until < worker.now(), "a slot was moved whose lease is in force"
        for name in now.keys() - was.keys():
            assert worker.what in {"admit", "admit again"}
            assert now[name].call == 1
            assert name not in self.settled, "a run was admitted after it was settled"
            self.open[name] = Stay(now[name], [(now[name].admitted, now[name].tokens)])
            self.stays.append(self.open[name])
        for name in was.keys() - now.keys():
            self._end(name, was[name], worker)
        for name in now.keys() & was.keys():
            self._change(name, was[name], now[name], worker)
        if worker.what == "session":
            self.sessions.append(after["at"])
        self.check(after)
        for name, slot in now.items():
            if name not in was or slot.call > was[name].call:
                check_limits(after, worker.limits[scope_id], slot)
        if worker.what == "session":
            limit = worker.limits[scope_id].maximum("sessions_per_day")
            assert limit == UNLIMITED or used_of(after, "sessions_per_day", after["at"]) <= limit

    def _end(self, name: str, slot: Slot, worker: Worker) -> None:
        stay = self.open.pop(name)
        used = worker.used_of(name) if worker.used_of else worker.used
        second, _ = stay.calls[-1]
        if used is None:
            assert slot.call == 1
            stay.state, stay.calls[-1] = "undone", (second, 0)
        else:
            stay.state, stay.used, stay.calls[-1] = "settled", used, (second, max(0, used.tokens - slot.past_tokens))
            self.settled.add(name)

    def _change(self, name: str, was: Slot, now: Slot, worker: Worker) -> None:
        stay = self.open[name]
        stay.slot = now
        if now.call == was.call:
            assert now.reservation_text == was.reservation_text
            return
        assert worker.what == "extend"
        assert worker.used is not None
        assert (now.call, now.past_tokens) == (was.call + 1, worker.used.tokens)
        stay.calls[-1] = (stay.calls[-1][0], worker.used.tokens - was.past_tokens)
        stay.calls.append((now.second, now.tokens))

    def check(self, item: Mapping[str, Any]) -> None:
        """Assert that each counter of the item has the expected value."""
        seen = AdmissionItem(item, float(item["at"]))
        first = item["at"] - BUCKETS
        requests = sum(stay.state != "undone" for stay in self.stays if stay.slot.admitted > first)
        tokens = sum(tokens for stay in self.stays for second, tokens in stay.calls if second > first)
        expected = {"rn": requests, "tn": tokens}
        for letter in "rt":
            amounts = [amount for second, own, _, amount in seen.buckets if own == letter]
            assert min(amounts, default=0) >= 0, item
            assert sum(amounts) == item.get(f"{letter}n", 0), item
        for name in ("requests_per_day", "sessions_per_day", "tokens_per_month", "cost_per_month"):
            definition = DEFINITIONS[name]
            own = definition.counter(item["at"])
            expected[own] = sum(
                _counted(stay, definition) for stay in self.stays if definition.counter(stay.slot.admitted) == own
            )
            if name == "sessions_per_day":
                expected[own] += sum(definition.counter(second) == own for second in self.sessions)
        assert {name: item.get(name, 0) for name in expected} == expected, item
        assert slots_of(item) == {name: stay.slot for name, stay in self.open.items()}


def _counted(stay: Stay, definition: LimitDefinition) -> int:
    match definition.name:
        case "requests_per_day":
            return int(stay.state != "undone")
        case "sessions_per_day":
            return int(stay.slot.new_session and stay.state != "undone")
        case "tokens_per_month":
            return stay.tokens
        case _:
            return stay.cost_nanos


def slots_of(item: Mapping[str, Any]) -> dict[str, Slot]:
    return {name: Slot.parse(text) for name, text in {**item.get("slots", {}), **item.get("late", {})}.items()}


def used_of(item: Mapping[str, Any], name: LimitName, second: int) -> int:
    if name == "concurrent_turns":
        return len(item["slots"])
    return int(item.get(DEFINITIONS[name].counter(second), 0))


def check_limits(item: Mapping[str, Any], scope: ScopeLimits, slot: Slot) -> None:
    """Assert that the last admission or extension of the slot exceeded no limit."""
    amounts: dict[LimitName, int] = {
        "tokens_per_minute": slot.tokens,
        "tokens_per_month": slot.tokens,
        "cost_per_month": slot.cost_nanos,
    }
    if slot.call == 1:
        amounts |= {"requests_per_minute": 1, "requests_per_day": 1, "concurrent_turns": 1}
        amounts |= {"sessions_per_day": int(slot.new_session)}
    for name, amount in amounts.items():
        limit = scope.maximum(name)
        assert not amount or limit == UNLIMITED or used_of(item, name, slot.admitted) <= limit, (name, limit, item)
