"""Clocks that disagree: the item's own time holds, and one that is absurd is set back."""

from datetime import timedelta

from atrium.quotas.model import Limits
from atrium.storage.table import PhysicalTable

from tests.unit.quotas.rooms import Room

LIMITS: Limits = {"requests_per_minute": 3, "tokens_per_minute": 1000, "concurrent_turns": 9}


def test_a_clock_that_is_behind_uses_the_items_time(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, LIMITS)
    first = room.admitted()
    room.skew = timedelta(seconds=-2)
    second = room.admitted()
    assert second.second == first.second
    assert room.item()["roll"] == first.second


def test_a_clock_that_is_ahead_moves_it_and_the_others_follow(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, LIMITS)
    room.skew = timedelta(seconds=2)
    ahead = room.admitted()
    room.skew = timedelta()
    room.admitted()
    room.admitted()
    refused = room.refused()
    assert refused.resets_at == ahead.second + 61
    assert refused.retry_after_seconds == 63  # the item's time is two seconds ahead of this clock


def test_a_time_that_is_absurd_is_set_back_and_all_counts_anew(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, LIMITS)
    room.settle(room.admitted(tokens=100), 40, 0)
    room.skew = timedelta(hours=1)
    lost = room.admitted(tokens=100)
    assert room.item()["rn"] == 1
    room.skew = timedelta()
    room.admitted(tokens=100)
    item = room.item()
    assert (item["roll"], item["rn"], item["tn"]) == (int(room.now.timestamp()), 2, 200)
    room.settle(lost, 10, 0)
    room.item()
    room.turn(61)
    room.admitted()
    assert room.item()["rn"] == 1
