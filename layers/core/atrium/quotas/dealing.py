"""Dealing a tenant's counters and slots out over another number of shards, or under other limits: a pure function.

Every counter's sum over the shards stands, and each shard gets its even part of it. Parts are made of sums as shares
are of limits, so a shard is above its share only where the sum is above the limit: nothing is admitted twice, and
what was used stays used. Of a window the newest calls, as many as the limit allows, are dealt first: each shard has its
share of them, so none has room before the sum of all is below the limit.

`of` says in each item over how many shards it was dealt; an admission that knows another number does not apply.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atrium.quotas.meters import BUCKETS, bucket, read_bucket
from atrium.quotas.model import UNLIMITED
from atrium.quotas.rebuild.fencing import FENCE
from atrium.quotas.shards import share
from atrium.quotas.state import LAYOUT

_BLOCK = ("bk", "bu", "bg", "bs")
_APART = frozenset({"pk", "sk", "roll", "slots", "late", "sv", "ev", LAYOUT, FENCE, *_BLOCK, "sweep_pk", "sweep_sk"})

type Item = Mapping[str, Any]


def deal(items: Mapping[int, Item], shards: int, before: int, bounds: Mapping[str, int]) -> dict[int, dict[str, Any]]:
    """Return the item of every shard as it is to be, where there were `before` many.

    `bounds` has the limit of each family of seconds that one bounds (`r`, or a subject's with its prefix before it).
    Those beyond the number are left, empty: a call that still knows them finds them closed.
    """
    roll = max((int(item["roll"]) for item in items.values() if "roll" in item), default=0)
    hands = {shard: _Hand(shard) for shard in range(shards)}
    _deal_slots(items, hands)
    for name, total in _counters(items).items():
        for shard, hand in hands.items():
            hand.attributes[name] = share(total, shard, shards)
    for family, seconds in _seconds(items, roll).items():
        _deal_family(family, seconds, hands, bounds.get(family, UNLIMITED))
    evenings = 1 + max((int(item.get("ev", 0)) for item in items.values()), default=0)
    revision = 1 + max((int(item.get("sv", 0)) for item in items.values()), default=0)
    common: dict[str, Any] = {"roll": roll, "sv": revision, "ev": evenings, LAYOUT: shards}
    if any(FENCE in item for item in items.values()):
        common[FENCE] = f"dealt:{revision}"  # a rebuild that looked before must look again
    known = {*items, *range(before)}
    left_over = {shard: {**common, "slots": {}, "late": {}} for shard in sorted(known - set(hands))}
    dealt = {
        shard: {**hand.attributes, **common, **_block(items.get(shard)), "slots": hand.slots, "late": hand.late}
        for shard, hand in hands.items()
    }
    return {**dealt, **left_over}


@dataclass(slots=True)
class _Hand:
    """What one shard is given."""

    shard: int
    attributes: dict[str, int] = field(default_factory=dict)
    slots: dict[str, Any] = field(default_factory=dict)
    late: dict[str, Any] = field(default_factory=dict)


def _deal_slots(items: Mapping[int, Item], hands: Mapping[int, _Hand]) -> None:
    """Give each shard its part of the slots; a slot stays where it is if there is room for it."""
    total = sum(len(item.get("slots", {})) for item in items.values())
    room = {shard: share(total, shard, len(hands)) for shard in hands}
    homeless: list[tuple[str, Any]] = []
    for shard, item in items.items():
        for name, slot in item.get("slots", {}).items():
            if shard in hands and len(hands[shard].slots) < room[shard]:
                hands[shard].slots[name] = slot
            else:
                homeless.append((name, slot))
        hands[shard if shard in hands else shard % len(hands)].late.update(item.get("late", {}))
    for shard, hand in hands.items():
        while homeless and len(hand.slots) < room[shard]:
            name, slot = homeless.pop()
            hand.slots[name] = slot


def _counters(items: Mapping[int, Item]) -> dict[str, int]:
    """Return the sums of what is neither a second nor the sum of seconds: days, months, slots of subjects."""
    sums: dict[str, int] = {}
    for item in items.values():
        for name, amount in item.items():
            if name not in _APART and not _is_of_window(name):
                sums[name] = sums.get(name, 0) + int(amount)
    return sums


def _seconds(items: Mapping[int, Item], roll: int) -> dict[str, dict[int, int]]:
    """Return by family what each second that still counts has in all shards."""
    found: dict[str, dict[int, int]] = {}
    for item in items.values():
        for name, amount in item.items():
            place = read_bucket(name, int(item.get("roll", 0)))
            if place is not None:
                seconds = found.setdefault(place[0], {})
                if place[1] > roll - BUCKETS:
                    seconds[place[1]] = seconds.get(place[1], 0) + int(amount)
    return found


def _deal_family(family: str, seconds: Mapping[int, int], hands: Mapping[int, _Hand], bound: int) -> None:
    """Give each shard its part of the newest calls up to the bound, then of the rest. Negative seconds go first."""
    total = sum(seconds.values())
    newest = total if bound == UNLIMITED else min(total, bound)
    pieces = iter(sorted(seconds.items(), key=lambda each: (each[1] > 0, -each[0])))
    second, left = next(pieces, (0, 0))
    for amount, shard in [(amount, shard) for amount in (newest, total - newest) for shard in hands]:
        hand, wanted = hands[shard], share(amount, shard, len(hands))
        hand.attributes[f"{family}n"] = hand.attributes.get(f"{family}n", 0) + wanted
        while wanted and left:
            part = left if left < 0 else min(left, wanted)
            name = bucket(family, second)
            hand.attributes[name] = hand.attributes.get(name, 0) + part
            wanted, left = wanted - part, left - part
            if not left:
                second, left = next(pieces, (0, 0))


def _block(item: Item | None) -> dict[str, int]:
    """Return an item's block of the platform's ceiling, which stays where it is, under another generation."""
    if item is None or "bg" not in item:
        return {}
    kept = {name: int(item[name]) for name in _BLOCK if name in item}
    return {**kept, "bg": kept["bg"] + 1}


def _is_of_window(name: str) -> bool:
    return read_bucket(name, 0) is not None or name.endswith(("rn", "tn", "kn"))
