"""Settling a hold and keeping a lease: once, to the real figure, whatever happened in between."""

from dataclasses import replace

import pytest
from atrium.quotas.model import LeaseLost, Limits, NotHeld, Refused, Renewed, Settled, Subject
from atrium.quotas.store import AdmissionStore
from atrium.storage.table import PhysicalTable, TenantTable

from tests.unit.quotas.rooms import TENANT, Room, make_run_id

OTHER = TENANT[:-1] + "c"
ALL: Limits = {
    "requests_per_minute": 60,
    "tokens_per_minute": 1000,
    "tokens_per_month": 5000,
    "cost_per_month": 900,
    "concurrent_turns": 2,
}


@pytest.fixture
def room(physical_table: PhysicalTable) -> Room:
    return Room(physical_table, ALL)


def figures(room: Room) -> tuple[int, int, int, int]:
    item = room.item()
    return item["tn"], item["tm202611"], item["cm202611"], len(item["slots"])


def test_a_hold_becomes_what_was_used(room: Room) -> None:
    hold = room.admitted(tokens=400, cost_nanos=90)
    assert figures(room) == (400, 400, 90, 1)
    assert room.settle(hold, 120, 11) == Settled()
    assert figures(room) == (120, 120, 11, 0)


def test_settling_twice_moves_nothing(room: Room) -> None:
    hold = room.admitted(tokens=400, cost_nanos=90)
    room.settle(hold, 120, 11)
    before = room.item()
    assert room.settle(hold, 300, 80) == NotHeld()
    assert room.item() == before


def test_what_was_never_admitted_or_is_anothers_moves_nothing(room: Room) -> None:
    hold = room.admitted(tokens=400, cost_nanos=90)
    before = room.item()
    assert room.settle(replace(hold, run_id=make_run_id()), 1, 1) == NotHeld()
    foreign = AdmissionStore(TenantTable(room.physical, type(TENANT)(OTHER)), lambda: room.now)
    assert foreign.settle(hold, 1, 1) == NotHeld()
    assert foreign.renew(hold) == LeaseLost()
    assert foreign.read(0) is None
    assert room.item() == before


def test_the_items_own_hold_counts_where_the_callers_is_wrong(room: Room) -> None:
    hold = room.admitted(tokens=400, cost_nanos=90)
    assert room.settle(replace(hold, tokens=999, cost_nanos=1, second=hold.second - 1), 120, 11) == Settled()
    assert figures(room) == (120, 120, 11, 0)


def test_a_second_that_has_left_the_window_is_not_corrected(room: Room) -> None:
    hold = room.admitted(tokens=400, cost_nanos=90)
    for _ in range(5):
        room.turn(14)
        assert isinstance(room.renew(hold), Renewed)
    room.settle(room.admitted(tokens=5), 5, 0)
    assert room.settle(hold, 120, 11) == Settled()
    assert figures(room) == (5, 125, 11, 0)


def test_a_run_that_crosses_a_month_is_settled_in_the_month_that_it_began_in(room: Room) -> None:
    room.turn(9 * 86_400 + 43_190)
    hold = room.admitted(tokens=400, cost_nanos=90)
    room.turn(20)
    room.settle(room.admitted(tokens=7, cost_nanos=3), 7, 3)
    assert room.settle(hold, 120, 11) == Settled()
    item = room.item()
    assert (item["tm202611"], item["cm202611"], item["tm202612"], item["cm202612"]) == (120, 11, 7, 3)


def test_a_slot_is_lost_when_its_lease_is_over_and_another_wants_it(room: Room) -> None:
    holds = [room.admitted(tokens=400, cost_nanos=90) for _ in range(2)]
    room.turn(59)
    assert isinstance(room.admit(), Refused)
    room.turn(3)
    taker = room.admitted()
    assert [room.renew(hold) for hold in holds] == [LeaseLost(), LeaseLost()]
    assert figures(room)[:3] == (0 if room.item()["roll"] - holds[0].second > 60 else 800, 800, 180)
    assert [room.settle(hold, 10, 1) for hold in holds] == [Settled(), Settled()]
    assert [room.settle(hold, 10, 1) for hold in holds] == [NotHeld(), NotHeld()]
    assert figures(room)[1:] == (20, 2, 1)
    assert room.settle(taker) == Settled()


def test_a_slow_worker_keeps_the_slot_that_nobody_took(room: Room) -> None:
    hold = room.admitted()
    room.turn(300)
    assert isinstance(room.renew(hold), Renewed)
    room.admitted()
    assert room.refused().limit == "concurrent_turns"


def test_a_subjects_slots_are_given_back_once(physical_table: PhysicalTable) -> None:
    user = Subject("user", "usr_a", {"concurrent_turns": 1, "cost_per_month": 50})
    room = Room(physical_table, ALL, (user,))
    first = room.admitted(cost_nanos=5)
    room.turn(62)
    second = room.admitted(cost_nanos=5)
    assert room.settle(first, 0, 5) == Settled()
    assert room.refused(cost_nanos=5).scope == "user"
    assert room.settle(second, 0, 2) == Settled()
    room.admitted(cost_nanos=43)
    assert (room.refused(cost_nanos=1).limit, room.refused().limit) == ("cost_per_month", "concurrent_turns")


def test_limits_that_come_and_go_while_a_run_lives_leave_no_drift(room: Room) -> None:
    first = room.admitted(tokens=400, cost_nanos=90)
    room.limits = {"concurrent_turns": 3}
    second = room.admitted(tokens=100, cost_nanos=10)
    room.limits = ALL
    room.settle(second, 1, 1)
    room.settle(first, 120, 11)
    assert figures(room) == (120, 120, 11, 0)


def test_late_holds_are_bounded_and_stay_charged(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, {"concurrent_turns": 1, "cost_per_month": 1000})
    holds = []
    for _ in range(40):
        holds.append(room.admitted(cost_nanos=1))
        room.turn(62)
    assert len(room.item()["late"]) == 32
    assert room.settle(holds[0], 0, 0) == NotHeld()
    assert room.settle(holds[-2], 0, 0) == Settled()
    assert room.item()["cm202611"] == 39
