"""The one door: refusals are failures with their code, a turn ends once, a tool call is counted."""

from typing import Any, cast

import pytest
from atrium.kernel.errors import ConcurrencyLimited, LimitReached, RateLimited
from atrium.quotas.door import ClosedTurn, Door
from atrium.quotas.model import AdmissionRequest, Limits, Renewed, Settled, Subject
from atrium.quotas.service import AdmissionService
from atrium.quotas.terms import Terms
from atrium.storage.table import PhysicalTable

from tests.unit.quotas.rooms import Room, make_run_id


def door_of(table: PhysicalTable, limits: Limits, *subjects: Subject) -> Door:
    return Door(AdmissionService(Room(table, limits).store), Terms(limits), subjects)


def request(tokens: int = 0, cost_nanos: int = 0) -> AdmissionRequest:
    return AdmissionRequest(make_run_id(), tokens, cost_nanos)


def figures(door: Door) -> dict[str, Any]:
    return dict(door.service.store.read(0) or {})


def test_a_turn_is_settled_to_what_it_used(physical_table: PhysicalTable) -> None:
    door = door_of(physical_table, {"concurrent_turns": 1, "tokens_per_month": 100})
    with door.turn(request(tokens=90)) as turn:
        assert isinstance(door.keep(turn), Renewed)
        with pytest.raises(ConcurrencyLimited):
            door.open_turn(request(tokens=1))
        closed = door.record_token_usage(turn, 30, 0)
    assert closed == ClosedTurn(turn.hold, Settled())
    assert (figures(door)["tm202611"], figures(door)["slots"]) == (30, {})


def test_a_turn_that_fails_is_charged_its_hold_and_frees_its_slot(physical_table: PhysicalTable) -> None:
    door = door_of(physical_table, {"concurrent_turns": 1, "tokens_per_month": 100})
    with pytest.raises(ZeroDivisionError), door.turn(request(tokens=90)):
        raise ZeroDivisionError
    assert (figures(door)["tm202611"], figures(door)["slots"]) == (90, {})


def test_recording_twice_is_a_type_error_and_moves_nothing(physical_table: PhysicalTable) -> None:
    door = door_of(physical_table, {"concurrent_turns": 1, "tokens_per_month": 100})
    turn = door.open_turn(request(tokens=90))
    closed = door.record_token_usage(turn, 30, 0)
    before = figures(door)
    with pytest.raises(TypeError):
        door.record_token_usage(turn, 30, 0)
    with pytest.raises(TypeError):
        door.record_token_usage(cast(Any, closed), 30, 0)
    assert figures(door) == before


def test_tool_calls_are_counted_before_they_begin(physical_table: PhysicalTable) -> None:
    agent = Subject("agent", "agt_a", {"tool_calls_per_minute": 2})
    door = door_of(physical_table, {"tool_calls_per_minute": 3}, agent)
    for _ in range(2):
        with door.tool_call():
            pass
    with pytest.raises(RateLimited) as failure, door.tool_call():
        pytest.fail("it began")
    assert failure.value.extensions["scope"] == "agent"
    assert sum((door.service.store.read(shard) or {}).get("kn", 0) for shard in range(door.terms.shards)) == 2


def test_a_refusal_tells_limit_used_max_and_time(physical_table: PhysicalTable) -> None:
    door = door_of(physical_table, {"cost_per_month": 1_500_000})
    door.open_turn(request(cost_nanos=1_000_000))
    with pytest.raises(LimitReached) as failure:
        door.open_turn(request(cost_nanos=1_000_000))
    assert failure.value.code == "QUOTA_EXCEEDED"
    assert failure.value.extensions == {
        "limit": "cost_per_month",
        "scope": "tenant",
        "used": "0.001000",
        "max": "0.001500",
        "resets_at": "2026-12-01T00:00:00.000Z",
    }


def test_sessions_are_recorded_alone(physical_table: PhysicalTable) -> None:
    door = door_of(physical_table, {"sessions_per_day": 1})
    door.check_and_record({"sessions_per_day": 1})
    with pytest.raises(LimitReached):
        door.check_and_record({"sessions_per_day": 1})
    door.check_and_record({"tool_calls_per_minute": 1})
