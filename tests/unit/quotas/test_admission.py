"""What one admission item grants and refuses, by limit, and what it has counted afterwards."""

import sys
from collections.abc import Iterator

import pytest
from atrium.quotas.model import Hold, Limits, Refused, Subject
from atrium.storage.table import PhysicalTable

from tests.unit.quotas.rooms import Room, make_run_id

MINUTE: Limits = {"requests_per_minute": 3}


def test_no_more_than_the_limit_in_a_minute(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, MINUTE)
    for _ in range(3):
        room.admitted()
    refused = room.refused()
    assert (refused.limit, refused.scope, refused.used, refused.max) == ("requests_per_minute", "tenant", 3, 3)
    assert room.item()["rn"] == 3


def test_retry_after_is_true_and_two_seconds_earlier_is_too_early(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, MINUTE)
    for _ in range(3):
        room.admitted()
        room.turn(7)
    refused = room.refused()
    assert refused.retry_after_seconds is not None
    assert refused.retry_after_seconds <= 62
    room.turn(refused.retry_after_seconds - 2)
    assert isinstance(room.admit(), Refused)
    room.turn(2)
    room.admitted()
    assert room.item()["rn"] == 3


def test_a_window_is_not_doubled_at_its_boundary(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, MINUTE)
    room.turn(59.7)
    for _ in range(3):
        room.admitted()
    room.turn(0.1)
    assert isinstance(room.admit(), Refused)
    room.turn(59.8)
    assert isinstance(room.admit(), Refused)
    room.turn(1.2)
    room.admitted()


def test_a_refused_call_is_charged_nothing(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, {"requests_per_minute": 60, "requests_per_day": 1000, "concurrent_turns": 1})
    hold = room.admitted()
    before = room.item()
    for _ in range(9):
        assert room.refused().limit == "concurrent_turns"
    assert room.item() == before
    room.settle(hold)
    room.admitted()
    assert (room.item()["rn"], room.item()["rd20261121"]) == (2, 2)


@pytest.mark.parametrize(
    ("limits", "counter", "frees"),
    [
        ({"requests_per_day": 2}, "rd20261121", 12 * 3600),
        ({"tokens_per_month": 200}, "tm202611", 9 * 86_400 + 12 * 3600),
        ({"cost_per_month": 14}, "cm202611", 9 * 86_400 + 12 * 3600),
    ],
)
def test_days_and_months_end_at_the_boundary_in_utc(
    physical_table: PhysicalTable, limits: Limits, counter: str, frees: int
) -> None:
    room = Room(physical_table, limits)
    for _ in range(2):
        room.admitted(tokens=100, cost_nanos=7)
    refused = room.refused(tokens=100, cost_nanos=7)
    assert refused.retry_after_seconds == frees
    assert refused.resets_at == room.now.timestamp() - 0.25 + frees
    room.turn(frees - 1)
    assert isinstance(room.admit(tokens=100, cost_nanos=7), Refused)
    room.turn(1)
    room.admitted(tokens=100, cost_nanos=7)
    assert room.item()[counter] == 2 * (1 if counter.startswith("rd") else 100 if counter.startswith("tm") else 7)


def test_sessions_count_only_where_one_begins(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, {"sessions_per_day": 1})
    assert isinstance(room.admit(new_session=True), Hold)
    room.admitted()
    assert room.refused(new_session=True).limit == "sessions_per_day"


def test_what_is_larger_than_its_limit_never_fits(physical_table: PhysicalTable) -> None:
    refused = Room(physical_table, {"tokens_per_minute": 100}).refused(tokens=101)
    assert (refused.resets_at, refused.retry_after_seconds) == (None, None)


def test_of_two_limits_that_bind_the_later_is_told(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, {"requests_per_minute": 1, "requests_per_day": 1})
    room.admitted()
    assert room.refused().limit == "requests_per_day"


def test_a_run_is_admitted_once(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, {"requests_per_minute": 60, "concurrent_turns": 5})
    run_id = make_run_id()
    first = room.admitted(run_id, tokens=5)
    room.turn(3)
    assert room.admitted(run_id, tokens=99) == first
    assert room.item()["rn"] == 1


def test_subjects_have_limits_beside_the_tenants(physical_table: PhysicalTable) -> None:
    user = Subject("user", "usr_a", {"requests_per_minute": 1, "concurrent_turns": 1})
    room = Room(physical_table, {"requests_per_minute": 3, "concurrent_turns": 5}, (user,))
    hold = room.admitted()
    assert (room.refused().scope, room.refused().limit) == ("user", "requests_per_minute")
    room.turn(30)
    room.renew(hold)
    room.turn(31)
    assert (room.refused().scope, room.refused().limit) == ("user", "concurrent_turns")
    room.settle(hold)
    room.admitted()
    room.subjects = ()
    room.admitted()
    assert room.item()["rn"] == 2


def test_a_limit_that_is_changed_holds_from_the_next_call_on(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, {"requests_per_minute": 1})
    room.admitted()
    room.limits = {"requests_per_minute": 3}
    room.admitted()
    room.limits = {"requests_per_minute": 2}
    assert room.refused().used == 2


def test_many_seconds_leave_at_once(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, {"requests_per_minute": 500, "tokens_per_minute": 10_000})
    for _ in range(61):
        room.settle(room.admitted(tokens=5), tokens=3)
        room.turn(1)
    assert room.item()["tn"] == 183
    room.turn(30)
    room.admitted(tokens=5)
    assert room.item()["rn"] == 31
    room.turn(3600)
    room.admitted(tokens=5)
    assert (room.item()["rn"], room.item()["tn"]) == (1, 5)


def test_old_days_and_months_leave_the_item(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, {"requests_per_day": 50, "tokens_per_month": 1000})
    room.admitted(tokens=5)
    room.turn(86_400 * 65)
    room.admitted(tokens=5)
    assert {name for name in room.item() if name[1] in "dm" and name[2:].isdigit()} == {"rd20270125", "tm202701"}


@pytest.fixture
def deep_stack() -> Iterator[None]:
    """moto copies a parsed expression recursively, some four frames for each of its clauses."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 10_000))
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("deep_stack")
def test_twenty_busy_subjects_that_were_idle_are_tidied_up_first(physical_table: PhysicalTable) -> None:
    limits: Limits = {"requests_per_minute": 1000, "tokens_per_minute": 10_000}
    room = Room(physical_table, limits)
    for number in range(60):
        room.subjects = tuple(Subject("user", f"usr_{each}", limits) for each in range(20) if (each + number) % 4 == 0)
        room.admitted(tokens=1)
        room.turn(1)
    assert len(room.item()) > 600
    room.turn(600)
    room.admitted(tokens=1)
    item = room.item()
    assert (item["rn"], item["tn"]) == (1, 1)
    assert len([name for name in item if not name.endswith("n")]) < 30
