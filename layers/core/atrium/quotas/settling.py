"""Settling and renewing as pure functions of a hold and, where the first try failed, of the item that stood there.

The slot is the proof: it is removed in the very write that corrects the counters, so that no run is settled twice.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from atrium.kernel.ids import RunId
from atrium.quotas.charges import Entry, slot_name
from atrium.quotas.expression import Expression
from atrium.quotas.meters import BUCKETS, METERS, bucket
from atrium.quotas.model import LEASE_SECONDS, Hold, LimitName
from atrium.quotas.state import State, marks_of
from atrium.storage.keys import Key
from atrium.storage.writes import Update

_TOKENS_PER_MONTH = METERS["tokens_per_month"]
_COST_PER_MONTH = METERS["cost_per_month"]
_DAILY: Mapping[str, LimitName] = {"d": "requests_per_day", "s": "sessions_per_day"}


def find_hold(hold: Hold, state: State) -> Hold | None:
    """Return what the item says is held for a run, or None if nothing is."""
    name = slot_name(hold.run_id)
    slot = state.slots.get(name) or state.late.get(name)
    if slot is None:
        return None
    return replace(hold_of_slot(hold.run_id, hold.shard, slot), place=hold.place, apart=hold.apart)


def hold_of_slot(run_id: RunId, shard: int, slot: Mapping[str, Any]) -> Hold:
    """Return the hold that a slot records."""
    return Hold(
        run_id, shard, slot["b"], slot["t"], slot["c"], slot["m"], slot["e"], True,
        slot.get("n", 1), slot.get("u", 0), slot.get("d", 0),
    )  # fmt: skip


def plan_settlement(
    key: Key, hold: Hold, tokens: int, cost_nanos: int, state: State | None, *, undone: bool = False
) -> Update:
    """Return the write that settles a run to what it really used; without a state, as it is on the common path.

    The minute is corrected while the second that the run was counted in still counts. Day and month counters that
    are gone stay gone. A run that is `undone` is not counted as a request either.
    """
    expression = Expression()
    name = slot_name(hold.run_id)
    place = "slots" if state is None or name in state.slots else "late"
    path = f"{place}.{name}"
    for field, held in (("b", hold.second), ("t", hold.tokens), ("c", hold.cost_nanos)):
        expression.require_equal(f"{path}.{field}", held)
    expression.remove(path)
    more_tokens, more_cost = tokens - hold.tokens_in_all, cost_nanos - hold.cost_in_all_nanos
    counts = state is None or (state.roll is not None and hold.second <= state.roll < hold.second + BUCKETS)
    correction = _Correction(expression, state, hold.second, counts)
    for prefix, letters in marks_of(hold.marks).items():
        if "t" in letters:
            correction.correct_minute(prefix + "t", more_tokens)
        if "m" in letters:
            correction.correct(_TOKENS_PER_MONTH.attribute(prefix, hold.second), more_tokens)
        if "c" in letters:
            correction.correct(_COST_PER_MONTH.attribute(prefix, hold.second), more_cost)
        if undone:
            correction.take_back(prefix, letters)
        if "x" in letters and place == "slots":
            expression.add(f"{prefix}xn", -1)
    correction.guard()
    return expression.update(key)


def plan_return(key: Key, entry: Entry, second: int, state: State) -> Update | None:
    """Return the write that takes back what was counted without a slot; None where nothing of it counts any more.

    It applies once: a repetition finds that a settlement, its own, was there since.
    """
    if state.roll is None or not second <= state.roll < second + BUCKETS:
        return None
    expression = Expression()
    correction = _Correction(expression, state, second, counts=True)
    for charge in entry.charges:
        if charge.meter.span == "minute":
            correction.correct_minute(charge.prefix + charge.meter.letter, -charge.amount)
        else:
            correction.correct(charge.meter.attribute(charge.prefix, second), -charge.amount)
    correction.guard(always=True)
    expression.require_same("sv", state.item)
    return expression.update(key)


def plan_renewal(key: Key, hold: Hold, now: float, *, in_block: bool = False) -> tuple[Update, int]:
    """Return the write that renews a lease, and until when. A slot that nobody took over yet is its owner's still.

    `in_block`: no longer than its item's block of the platform's ceiling.
    """
    expression = Expression()
    path = f"slots.{slot_name(hold.run_id)}"
    until = int(now) + 1 + LEASE_SECONDS
    expression.require_present(path)
    if in_block:
        expression.require_at_least("bu", until)
        expression.require_within("slots", "bk", room=False)
    expression.set(f"{path}.e", until)
    return expression.update(key), until


class _Correction:
    """Adds what a run used more, or less, than it held, to the counters that are still there."""

    def __init__(self, expression: Expression, state: State | None, second: int, counts: bool) -> None:
        self._expression = expression
        self._state = state
        self._second = second
        self._counts = counts
        self._minute = False

    def correct_minute(self, family: str, more: int) -> None:
        if self._counts and more:
            self._minute = True
            self._expression.add(f"{family}n", more)
            self._expression.add(bucket(family, self._second), more)

    def correct(self, attribute: str, more: int) -> None:
        if not more or (self._state is not None and not self._has(attribute)):
            return
        self._expression.require_present(attribute)
        self._expression.add(attribute, more)

    def take_back(self, prefix: str, letters: str) -> None:
        if "r" in letters:
            self.correct_minute(prefix + "r", -1)
        for letter, limit in _DAILY.items():
            if letter in letters:
                self.correct(METERS[limit].attribute(prefix, self._second), -1)

    def guard(self, *, always: bool = False) -> None:
        """State what the minute's correction rests on; that a second has left the window stays true."""
        if self._minute or always:
            self._expression.add("sv", 1)
            self._expression.require_between("roll", self._second, self._second + BUCKETS - 1)

    def _has(self, attribute: str) -> bool:
        return self._state is not None and self._state.item is not None and attribute in self._state.item
