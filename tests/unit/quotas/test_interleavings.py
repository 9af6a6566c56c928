"""What happens between a read and the write that it led to: the write is right all the same, or does not apply."""

from datetime import timedelta

from atrium.kernel.ids import mint_tenant_id
from atrium.quotas.model import LeaseLost, Limits, Refused, Renewed, Settled
from atrium.storage.table import PhysicalTable

from tests.unit.quotas.rooms import START, Room

LIMITS: Limits = {"requests_per_minute": 200, "tokens_per_minute": 1000, "cost_per_month": 900, "concurrent_turns": 1}


def test_a_settlement_of_a_second_that_is_dropped(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, LIMITS)
    hold = room.admitted(tokens=400)
    room.turn(61)
    seen = room.read()
    assert room.settle(hold, 100) == Settled()
    room.admit(tokens=7, read=seen)
    assert (room.item()["rn"], room.item()["tn"]) == (1, 7)


def test_a_settlement_of_one_second_of_many_that_are_dropped(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, {**LIMITS, "concurrent_turns": 16})
    holds = [room.admitted(tokens=10)]
    for _ in range(30):
        room.turn(1)
        room.settle(room.admitted(tokens=10), 10)
    room.turn(80)
    seen = room.read()
    assert room.settle(holds[0], 3) == Settled()
    room.admit(tokens=7, read=seen)
    assert (room.item()["rn"], room.item()["tn"]) == (1, 7)


def test_a_call_that_is_counted_in_the_second_that_is_dropped(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, {**LIMITS, "concurrent_turns": 16})
    room.admitted(tokens=400)
    seen = room.read()
    room.admitted(tokens=50)
    room.turn(61)
    room.admit(tokens=7, read=seen)
    assert (room.item()["rn"], room.item()["tn"]) == (1, 7)


def test_a_heartbeat_of_a_slot_that_is_to_be_dropped(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, LIMITS)
    hold = room.admitted()
    room.turn(62)
    seen = room.read()
    assert isinstance(room.renew(hold), Renewed)
    assert isinstance(room.admit(read=seen), Refused)
    assert isinstance(room.renew(hold), Renewed)
    room.turn(62)
    room.admitted()
    assert room.renew(hold) == LeaseLost()


def test_a_settlement_after_its_second_was_dropped(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, {**LIMITS, "concurrent_turns": 2})
    hold = room.admitted(tokens=400)
    room.turn(61)
    room.renew(hold)
    room.admitted(tokens=7)
    assert room.settle(hold, 100) == Settled()
    assert (room.item()["rn"], room.item()["tn"]) == (1, 7)


def test_a_slot_that_was_freed_meanwhile_is_taken(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, LIMITS)
    hold = room.admitted()
    room.turn(62)
    seen = room.read()
    room.settle(hold)
    room.admit(read=seen)
    assert (len(room.item()["slots"]), len(room.item()["late"])) == (1, 0)


def test_a_window_holds_to_its_last_moment(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, {"requests_per_minute": 1})
    room.admitted()
    room.turn(60.7)
    assert isinstance(room.admit(read=room.read()), Refused)
    room.turn(0.05)
    room.admitted()


def test_a_limit_that_was_reached_meanwhile_refuses(physical_table: PhysicalTable) -> None:
    every: list[Limits] = [{"requests_per_minute": 2}, {"tokens_per_month": 10}, {"cost_per_month": 10}]
    for number, limits in enumerate(every):
        room = Room(physical_table, limits, tenant=mint_tenant_id(START + timedelta(seconds=number)))
        room.admitted(tokens=5, cost_nanos=5)
        seen = room.read()
        room.admitted(tokens=5, cost_nanos=5)
        assert isinstance(room.admit(tokens=5, cost_nanos=5, read=seen), Refused)
