"""Counters dealt out anew: sums stand, parts fit shares, slots keep their holds."""

from typing import Any

from atrium.quotas.dealing import deal
from atrium.quotas.meters import bucket, read_bucket
from atrium.quotas.shards import share
from atrium.quotas.state import LAYOUT
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.quotas.rooms import check_item

ROLL = 1_795_000_000
FAMILIES = ("r", "t", "u0a1b2c_r")


@st.composite
def items(draw: st.DrawFn, shards: int) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for shard in range(shards):
        if not draw(st.booleans()) and shard:
            continue
        roll = ROLL + draw(st.integers(-90, 0))
        item: dict[str, Any] = {"pk": "p", "sk": str(shard), "roll": roll, "sv": draw(st.integers(0, 9)), "late": {}}
        for family in FAMILIES:
            seconds = draw(st.dictionaries(st.integers(roll - 60, roll), st.integers(1, 50), max_size=5))
            item |= {bucket(family, second): amount for second, amount in seconds.items()}
            item[f"{family}n"] = sum(seconds.values())
        item["tm202611"] = draw(st.integers(-20, 1_000))
        item["u0a1b2c_xn"] = draw(st.integers(0, 9))
        names = draw(st.sets(st.integers(0, 10**6), max_size=9))
        item["slots"] = {f"{shard}-{name}": {"e": ROLL, "b": roll, "t": 1, "c": 1, "m": "t"} for name in names}
        found[shard] = item
    return found


def total(found: dict[int, dict[str, Any]], name: str) -> int:
    return sum(item.get(name, 0) for item in found.values())


def alive(found: dict[int, dict[str, Any]], family: str) -> int:
    """Return what a family has in the window of the newest item."""
    newest = max(item["roll"] for item in found.values())
    return sum(
        amount
        for item in found.values()
        for name, amount in item.items()
        if (place := read_bucket(name, item["roll"])) and place[0] == family and place[1] > newest - 61
    )


@settings(max_examples=80, deadline=None)
@given(st.data(), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2_000))
def test_sums_stand_and_parts_fit(data: st.DataObject, before: int, after: int, limit: int) -> None:
    found = data.draw(items(before))
    dealt = deal(found, after, before, {"r": limit, "t": limit})
    assert set(dealt) == {*range(after), *range(before)}
    for name in ("tm202611", "u0a1b2c_xn"):
        assert total(dealt, name) == total(found, name)
    for family in FAMILIES:
        assert total(dealt, f"{family}n") == alive(found, family)
    slots = {name: slot for item in found.values() for name, slot in item["slots"].items()}
    assert {name: slot for item in dealt.values() for name, slot in item["slots"].items()} == slots
    for shard, item in dealt.items():
        check_item(item)
        assert item[LAYOUT] == after
        assert item["sv"] > max(each["sv"] for each in found.values())
        if shard >= after:
            assert (item["slots"], item.get("rn", 0), item.get("tm202611", 0)) == ({}, 0, 0)
            continue
        for name in ("tm202611", "rn", "tn"):
            is_above = total(dealt, name) > limit
            part, bound = item.get(name, 0), share(limit, shard, after)
            assert part >= bound if is_above else part <= bound
        assert len(item["slots"]) == share(len(slots), shard, after)


@settings(max_examples=80, deadline=None)
@given(st.data(), st.integers(2, 5), st.integers(2, 5), st.integers(0, 80))
def test_no_part_has_room_before_the_sum_of_all_is_below_the_limit(
    data: st.DataObject, before: int, after: int, limit: int
) -> None:
    """However the seconds leave the window from now on."""
    found = data.draw(items(before))
    bounds = {"r": limit, "t": 2 * limit, "u0a1b2c_r": limit}
    dealt = deal(found, after, before, bounds)
    newest = max(item["roll"] for item in dealt.values())
    for family, bound in bounds.items():
        for now in range(newest, newest + 62):
            used = [_used(dealt[shard], family, now) for shard in range(after)]
            room = sum(max(0, share(bound, shard, after) - used[shard]) for shard in range(after))
            assert room == max(0, bound - sum(used)), (family, now - newest, used)


def _used(item: dict[str, Any], family: str, now: int) -> int:
    return sum(
        amount
        for name, amount in item.items()
        if (place := read_bucket(name, item["roll"])) and place[0] == family and place[1] > now - 61
    )


def test_a_slot_stays_where_there_is_room_for_it() -> None:
    slot = {"e": ROLL, "b": ROLL, "t": 1, "c": 1, "m": "t"}
    one = {"roll": ROLL, "late": {"old": slot}, "slots": {str(number): slot for number in range(8)}}
    dealt = deal({0: one}, 4, 1, {})
    assert set(dealt[0]["slots"]) == {"0", "1"}
    assert dealt[0]["late"] == {"old": slot}
    back = deal(dealt, 1, 4, {})
    assert (set(back[0]["slots"]), back[3]["slots"]) == ({str(number) for number in range(8)}, {})


def test_nothing_used_is_nothing_to_deal_but_the_layout() -> None:
    assert deal({}, 2, 1, {}) == {
        shard: {"roll": 0, "sv": 1, "ev": 1, LAYOUT: 2, "slots": {}, "late": {}} for shard in (0, 1)
    }
