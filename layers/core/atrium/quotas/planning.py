"""Plans updates of admission items. Each function is pure, and returns one update or a rejection.

If the item's time is unchanged, an update is *additive*: it has conditions on each limit's sum and the number of slots.
If the time advances or expired slots are moved, an update is *rewriting*: it also requires that the dropped buckets and
the moved slots are unchanged since the read. If there are many of them, or if the second of the last write is dropped
(a concurrent call may begin its bucket), it requires an unchanged version instead. Both kinds are correct after any
concurrent write. Concurrent calls conflict only if they change the same attributes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from atrium.quotas.decisions import LimitIncrement, rejection, unused, unused_amounts, without_unused
from atrium.quotas.item import AdmissionItem, ItemUpdate, bucket
from atrium.quotas.limits import BUCKETS, WINDOWED, Amounts, calendar_counters
from atrium.quotas.model import LeaseExpired, Rejected, Slot, Used, lease_end
from atrium.storage.keys import Key
from atrium.storage.writes import Update

_GUARDED_MAX = 40
"""Maximum number of dropped buckets with separate conditions. An expression has at most 300 operators and 4 kB."""


@dataclass(frozen=True, slots=True)
class NewSlot:
    """The slot that an admission requests. `sweep` is the item's partition and sort key in the sweeper's index."""

    name: str
    tokens: int
    cost_nanos: int
    new_session: bool
    sweep: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Plan[Answer]:
    """An answer that is valid after its update has succeeded. The update is None if no write is needed."""

    answer: Answer
    update: Update | None = None


def plan_admission(
    key: Key, item: AdmissionItem, asked: Sequence[LimitIncrement], new: NewSlot
) -> Plan[Slot | Rejected]:
    """Plan the update that counts a turn and adds its slot. If the run already has a slot, no update is needed."""
    standing = item.find(new.name) or rejection(item, asked)
    if standing is not None:
        return Plan(standing)
    lease_until = max(lease_end(item.now), item.at)
    slot = Slot(item.at, item.at, new.tokens, new.cost_nanos, lease_until, new_session=new.new_session)
    update = _counting(item, asked, first={new.name: slot.text}, move_expired=_is_full(item, asked))
    if item.version is not None:
        _require_new(update, new, slot)
    _mark(update, new)
    return Plan(slot, update.build(key))


def plan_resumption(
    key: Key, item: AdmissionItem, known: Slot, used: Used, asked: Sequence[LimitIncrement], new: NewSlot
) -> Plan[Slot | Rejected | LeaseExpired]:
    """Plan the update that acquires a slot again for a run whose slot was settled, and reserves its next call."""
    held = item.find(new.name)
    if held is not None or item.version is None:
        return Plan(held if held is not None and held.call > known.call else LeaseExpired())
    item = replace(item, dated=known.admitted)
    rejected = rejection(item, asked)
    if rejected is not None:
        return Plan(rejected)
    slot = _next_call(known, item, used, new.tokens, new.cost_nanos)
    update = _counting(item, asked, move_expired=_is_full(item, asked), dated=known.admitted)
    _require_new(update, new, slot)
    _mark(update, new)
    return Plan(slot, update.build(key))


def _is_full(item: AdmissionItem, asked: Sequence[LimitIncrement]) -> bool:
    return any(charge.definition.span == "slots" and len(item.slots) >= charge.max for charge in asked)


def _require_new(update: ItemUpdate, new: NewSlot, slot: Slot) -> None:
    """Add the slot, on the condition that the run has none."""
    for place in ("slots", "late"):
        update.require("attribute_not_exists({0})", f"{place}.{new.name}")
    update.set(f"slots.{new.name}", slot.text)


def _mark(update: ItemUpdate, new: NewSlot) -> None:
    for attribute, value in zip(("sweep_pk", "sweep_sk"), new.sweep, strict=True):
        update.set_if_absent(attribute, value)


def _next_call(slot: Slot, item: AdmissionItem, used: Used, tokens: int, cost_nanos: int) -> Slot:
    """Return the slot with the reservation of the run's next call."""
    return replace(
        slot,
        second=max(item.at, slot.admitted),
        tokens=tokens,
        cost_nanos=cost_nanos,
        lease_until=lease_end(item.now),
        call=slot.call + 1,
        past_tokens=used.tokens,
        past_cost_nanos=used.cost_nanos,
    )


def plan_count(key: Key, item: AdmissionItem, asked: Sequence[LimitIncrement]) -> Plan[int | Rejected]:
    """Plan the update that adds increments without a slot. The answer is the second in which they are counted."""
    rejected = rejection(item, asked)
    return Plan(rejected) if rejected else Plan(item.at, _counting(item, asked).build(key))


def plan_extension(
    key: Key, item: AdmissionItem, name: str, known: Slot, used: Used, asked: Sequence[LimitIncrement]
) -> Plan[Slot | Rejected | LeaseExpired]:
    """Plan the update that settles a run's last call and reserves its next call, if the slot is not yet extended."""
    text = item.slots.get(name)
    if text is None:
        return Plan(LeaseExpired())
    slot = Slot.parse(text)
    if slot.call > known.call:
        return Plan(slot)
    rejected = rejection(without_unused(item, slot, used), asked)
    if rejected is not None:
        return Plan(rejected)
    update = _counting(item, asked, returned=unused(item, slot, used), dated=slot.admitted)
    update.require("begins_with({0}, {1})", f"slots.{name}", slot.reservation_text)
    amounts: Amounts = {charge.definition.letter: charge.amount for charge in asked}
    extended = _next_call(slot, item, used, amounts.get("t", 0), amounts.get("c", 0))
    update.set(f"slots.{name}", extended.text)
    return Plan(extended, update.build(key))


def plan_settlement(
    key: Key, name: str, slot: Slot, used: Used, item: AdmissionItem | None, *, undone: bool = False
) -> Update:
    """Plan the update that removes a run's slot and corrects the counters of its day and month to the actual usage.

    Without an `item`, the slot is assumed to be in `slots`, and its second to be in the window. If `undone`, the
    request and the session are also subtracted. The update requires the slot, so no run is settled twice.
    """
    update = ItemUpdate()
    path = f"slots.{name}" if item is None or name in item.slots else f"late.{name}"
    update.require("begins_with({0}, {1})", path, slot.reservation_text)
    update.remove(path)
    more = {letter: -amount for letter, amount in unused_amounts(slot, used).items()}
    reserved: Amounts = {"t": slot.tokens, "c": slot.cost_nanos}
    window = {letter: max(more[letter], -reserved[letter]) for letter in more if letter in WINDOWED}
    if undone:
        more |= {"r": -1, "s": -int(slot.new_session)}
        window["r"] = -1 if slot.call == 1 else 0
    if any(window.values()) and (item is None or item.counts_in_window(slot.second)):
        update.require("{0} BETWEEN {1} AND {2}", "at", slot.second, slot.second + BUCKETS - 1)
        for letter, amount in window.items():
            update.add(f"{letter}n", amount)
            update.add(bucket(letter, slot.second), amount)
    for attribute, amount in calendar_counters(more, slot.admitted).items():
        update.add(attribute, amount)
    return update.build(key)


def plan_renewal(key: Key, name: str, slot: Slot, now: float) -> Update:
    """Plan the update that renews a lease. It requires that the slot was not moved, extended or removed."""
    renewed = replace(slot, lease_until=max(lease_end(now), slot.admitted))
    update = ItemUpdate()
    update.require("begins_with({0}, {1})", f"slots.{name}", slot.reservation_text)
    update.set(f"slots.{name}", renewed.text)
    return update.build(key)


def plan_return(key: Key, asked: Sequence[LimitIncrement], second: int, item: AdmissionItem) -> Update | None:
    """Plan the update that undoes `plan_count` at most once. Return None if the amounts have left the window."""
    if not item.counts_in_window(second):
        return None
    update = ItemUpdate()
    update.require_version(item.version)
    for charge in asked:
        letter = charge.definition.letter
        update.add(f"{letter}n", -charge.amount)
        update.add(bucket(letter, second), -charge.amount)
    return update.build(key)


def plan_time(key: Key, item: AdmissionItem, **attributes: str) -> Update:
    """Plan the update that sets the item's time to `item.at` and sets the given attributes."""
    update = _counting(item, ())
    if item.time == item.at:
        update.set("at", item.at)
    for name, value in attributes.items():
        update.set(name, value)
    return update.build(key)


def _counting(
    item: AdmissionItem,
    asked: Sequence[LimitIncrement],
    *,
    first: Mapping[str, str] | None = None,
    move_expired: bool = False,
    returned: Mapping[str, int] | None = None,
    dated: int | None = None,
) -> ItemUpdate:
    """Return an unfinished update that adds increments, on the condition that no limit is exceeded.

    If the item's time advances, buckets outside the window are dropped. `returned` contains amounts to subtract, by
    attribute. `dated` selects the day and month (default: those of `item.at`). `first` contains a new item's slots.
    """
    update, less, rewritten = ItemUpdate(), Counter(returned or {}), dict[str, int]()
    moved = item.expired if move_expired else []
    if item.version is None:
        update.require_version(None)
        for name, slots in {"slots": first or {}, "late": {}}.items():
            update.set(name, slots)
    if item.time == item.at:
        update.require("{0} = {1}", "at", item.at)
    else:
        update.set("at", item.at)
        rewritten = _drop(update, item, less)
    _move(update, item, moved)
    if item.version is not None:
        _require_limits(update, item, asked, less, len(moved), dated)
    for attribute, amount in less.items():
        if attribute in rewritten:
            rewritten[attribute] -= amount
        else:
            update.add(attribute, -amount)
    _count(update, item.at, asked, rewritten, dated)
    return update


def _drop(update: ItemUpdate, item: AdmissionItem, less: Counter[str]) -> dict[str, int]:
    """Drop the buckets that left the window, and add their amounts to `less`. Return the new amounts by attribute."""
    rewritten, dropped = dict[str, int](), list[tuple[int, str, str, int]]()
    if item.is_ahead:
        for _, letter, attribute, amount in item.buckets:
            rewritten[attribute] = rewritten.get(attribute, 0)
            begun = bucket(letter, item.at)
            rewritten[begun] = rewritten.get(begun, 0) + amount
    else:
        dropped = [each for each in item.buckets if each[0] <= item.at - BUCKETS]
        for _, letter, attribute, amount in dropped:
            rewritten[attribute] = 0
            less[f"{letter}n"] += amount
    if item.version is not None:
        if item.is_ahead or item.time is None or item.at - item.time >= BUCKETS or len(dropped) > _GUARDED_MAX:
            update.require_version(item.version)
        else:
            update.require("{0} = {1}", "at", item.time)
            for _, _, attribute, amount in dropped:
                update.require("{0} = {1}", attribute, amount)
    for attribute in item.outdated():
        update.remove(attribute)
    return rewritten


def _move(update: ItemUpdate, item: AdmissionItem, expired: Sequence[str]) -> None:
    """Move slots whose lease expired to `late`, on the condition that they were not renewed or settled."""
    for name in expired:
        update.require("{0} = {1}", f"slots.{name}", item.slots[name])
        update.remove(f"slots.{name}")
        update.set(f"late.{name}", item.slots[name])


def _require_limits(
    update: ItemUpdate,
    item: AdmissionItem,
    asked: Sequence[LimitIncrement],
    less: Counter[str],
    moved: int,
    dated: int | None,
) -> None:
    for charge in asked:
        if charge.is_limited and charge.definition.span == "slots":
            update.require("size({0}) < {1}", "slots", charge.max + moved)
        elif charge.is_limited:
            counter = charge.definition.counter(item.at if dated is None else dated)
            update.require_at_most(counter, charge.max - charge.amount + less[counter])


def _count(
    update: ItemUpdate, at: int, asked: Sequence[LimitIncrement], rewritten: dict[str, int], dated: int | None = None
) -> None:
    """Add increments to their counters, and write the rewritten buckets. `dated` selects the day and month."""
    for charge in asked:
        definition, amount = charge.definition, charge.amount
        if definition.span == "minute":
            second = bucket(definition.letter, at)
            update.add(f"{definition.letter}n", amount)
            if second in rewritten:
                rewritten[second] += amount
            else:
                update.add(second, amount)
        elif definition.span in {"day", "month"}:
            update.add(definition.counter(at if dated is None else dated), amount)
    for attribute, amount in rewritten.items():
        if amount:
            update.set(attribute, amount)
        else:
            update.remove(attribute)
