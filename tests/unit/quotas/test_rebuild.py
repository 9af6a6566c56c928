"""A rebuild of counters and usage aggregates from the ledger is exact, even with other operations between its calls."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from atrium.kernel.errors import Unavailable
from atrium.quotas.changes import begin_counting
from atrium.quotas.limits import DEFINITIONS
from atrium.quotas.model import TENANT
from atrium.quotas.rebuild.running import compare, run_rebuild
from atrium.quotas.rebuild.store import LAPSED_SECONDS, RebuildStore
from atrium.quotas.rebuild.tally import REBUILT
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.storage.writes import ANY, Delete, Put
from atrium.usage.rebuild import RebuildSuperseded

from tests.builders.ledger import AGENT_ID, USER_ID
from tests.builders.memory_table import TENANT as TENANT_ID
from tests.unit.quotas.rebuilding import SCOPES, TODAY, RebuildWorld

# --- correct results


def test_changes_nothing_if_all_counters_are_correct(world: RebuildWorld) -> None:
    world.mixer.deliver()
    before = world.sums()
    report = world.rebuild()
    assert (report.counters, report.sums, report.counted, report.uncounted) == ((), 0, 0, 0)
    assert report.entries == len(world.mixer.settled) > 3
    assert world.sums() == before
    world.check()


def test_corrects_and_reports_wrong_counters(world: RebuildWorld) -> None:
    world.mixer.deliver()
    world.damage()
    wrong, right = world.counters(), world.expected()
    report = world.rebuild()
    told = {(each.subject, each.limit): (each.stored, each.expected) for each in report.counters}
    assert told == {key: (wrong[key], right[key]) for key in right if wrong[key] != right[key]}
    assert told
    assert report.sums > 0
    assert not [each.id for each in SCOPES if "fence" in world.item(each.id)]
    world.check()


def test_corrects_the_same_on_moto(physical_table: PhysicalTable) -> None:
    world = RebuildWorld(3, table=TenantTable(physical_table, TENANT_ID))
    world.begin()
    world.damage()
    assert world.rebuild().counters
    world.check()


@pytest.mark.parametrize("seed", range(8))
def test_is_exact_while_calls_continue(seed: int) -> None:
    world = RebuildWorld(seed)
    world.begin()
    world.damage()
    with world.between_calls(lambda _: world.mix(world.chance.randrange(0, 3))):
        world.rebuild()
    world.check()
    world.mix(20)
    world.check()


def test_counts_a_ledger_entry_that_is_not_yet_settled_as_reserved(world: RebuildWorld) -> None:
    world.mixer.admit()
    reservation = world.mixer.open.pop()
    entry = world.mixer.write_ledger(reservation)
    world.now += timedelta(seconds=1)
    assert world.rebuild().counters == ()
    world.mixer.settle(reservation, entry)
    world.check()


def test_counts_the_reservation_of_an_expired_slot(world: RebuildWorld) -> None:
    world.now += timedelta(seconds=100)
    world.mixer.scopes = tuple(
        replace(each, limits={**each.limits, "concurrent_turns": len(world.mixer.open)}) for each in SCOPES
    )
    world.mixer.admit()
    assert len(world.item(TENANT)["late"]) > 1
    world.damage()
    world.rebuild()
    world.check()


@pytest.mark.parametrize("scope_id", ["", USER_ID, AGENT_ID])
def test_restores_a_lost_admission_item(world: RebuildWorld, scope_id: str) -> None:
    while world.mixer.open:
        world.mixer.end()
    world.table.write(Delete(keys.admission(scope_id), ANY))
    if scope_id:
        begin_counting(world.table, world.clock, scope_id)
        world.now += timedelta(seconds=1)
    report = world.rebuild()
    assert {(each.subject, each.stored) for each in report.counters} == {(scope_id, 0)}
    world.now += timedelta(seconds=4)  # the new item's time is later than the lost item's time
    world.check()
    world.mix(20)
    world.check()


def test_counts_entries_that_the_stream_missed(world: RebuildWorld) -> None:
    report = world.rebuild()
    assert report.counted == len(world.mixer.settled) - world.mixer.delivered > 0
    world.check()


def test_rebuilds_sums_but_not_counters_of_the_previous_month(world: RebuildWorld) -> None:
    world.mixer.deliver()
    world.damage()
    wrong = world.counters()
    report = world.rebuild(month=date(2026, 10, 3))
    assert (report.counters, report.sums) == ((), 0)
    assert world.counters() == wrong


def test_counts_runs_in_the_month_of_their_admission(world: RebuildWorld) -> None:
    """A run from the last second of October is stored in October, but its first call may be counted in November."""
    world = RebuildWorld(now=world.now.replace(day=1, hour=0, minute=0, second=1))
    world.mixer.clock = lambda: world.now - timedelta(seconds=2)  # the worker's clock is two seconds behind
    world.mixer.admit()
    world.mixer.clock = world.clock
    world.mixer.admit()
    behind = world.mixer.open[0]
    assert behind.own.admitted < world.mixer.open[1].own.admitted
    for _ in range(2):
        world.mixer.end()
    world.now += timedelta(seconds=2)
    assert world.rebuild(month=date(2026, 11, 1)).counters == ()
    assert world.item(TENANT)["rd20261101"] == world.item(TENANT)["rd20261031"] == 1


# --- lost replies, killed workers, concurrent rebuilds


@pytest.mark.parametrize("seed", range(4))
def test_lost_replies_change_nothing(seed: int) -> None:
    world = RebuildWorld(seed)
    world.begin()
    world.damage()

    def lose(name: str, send: Callable[[], Any]) -> Any:
        answer = send()
        if name in {"write", "transact"} and world.chance.random() < 0.4:
            raise Unavailable(internal="reply lost")
        return answer

    for _ in range(40):
        world.memory.intercept = lose
        with suppress(Unavailable, RebuildSuperseded):
            world.rebuild()
            break
    world.memory.intercept = None
    world.rebuild("two")
    world.check()


class Killed(BaseException):
    """Raised to simulate that the function was killed."""


def calls_of_a_rebuild() -> int:
    world = RebuildWorld()
    world.begin()
    world.damage()
    before = len(world.memory.calls)
    world.rebuild()
    return len(world.memory.calls) - before


@pytest.mark.parametrize("at", range(0, calls_of_a_rebuild(), 2))
def test_the_next_rebuild_completes_one_that_died(at: int) -> None:
    world = RebuildWorld()
    world.begin()
    world.damage()
    calls = 0

    def kill(_: str) -> None:
        nonlocal calls
        calls += 1
        if calls > at:
            raise Killed

    with pytest.raises(Killed), world.between_calls(kill):
        world.rebuild("one")
    world.mix(6)
    world.rebuild("two")
    world.check()


@pytest.mark.parametrize("at", range(0, calls_of_a_rebuild(), 2))
def test_concurrent_rebuilds_correct_nothing_twice(at: int) -> None:
    world = RebuildWorld()
    world.begin()
    world.damage()
    calls = 0

    def overtake(_: str) -> None:
        nonlocal calls
        calls += 1
        if calls == at + 1:
            world.rebuild("two")
            world.mix(3)

    with world.between_calls(overtake), suppress(RebuildSuperseded):
        world.rebuild("one")
    assert calls > at
    world.check()


# --- new limits, old layouts


def test_fills_first_limits_of_a_user_from_the_ledger() -> None:
    world = RebuildWorld()
    world.mixer.scopes = SCOPES[2:]
    for _ in range(5):
        world.mixer.admit()
    for _ in range(3):
        world.mixer.end()
    begin_counting(world.table, world.clock, USER_ID)
    begin_counting(world.table, world.clock, USER_ID)
    world.mixer.scopes = (SCOPES[0], SCOPES[2])
    world.now += timedelta(milliseconds=300)
    world.mixer.admit()
    world.now += timedelta(seconds=1)
    waiting = RebuildStore(world.table).get()
    assert waiting is not None
    assert (waiting.status, waiting.month) == ("queued", TODAY.replace(day=1))
    done = run_rebuild(world.table, world.clock, waiting.id)
    assert done is not None
    assert done.report is not None
    assert {each.subject for each in done.report.counters} == {USER_ID}
    settled = world.mixer.settled
    own = {name: world.counters()[USER_ID, name] for name in REBUILT}
    latest = world.mixer.open[-1]
    assert own["requests_per_day"] == len(settled) + 1
    assert own["tokens_per_month"] == sum(each.total_tokens for each in settled) + latest.slots[USER_ID].tokens


def test_fills_limits_set_during_a_rebuild_in_its_second_pass() -> None:
    world = RebuildWorld()
    world.mixer.scopes = SCOPES[2:]
    for _ in range(5):
        world.mixer.admit()
    for _ in range(3):
        world.mixer.end()
    world.now += timedelta(seconds=1)
    RebuildStore(world.table).request(TODAY, by="operator", now=world.now)
    waiting = RebuildStore(world.table).get()
    assert waiting is not None
    began = False

    def begin(name: str) -> None:
        nonlocal began
        if name == "query" and not began and world.item(TENANT).get("fence"):
            began = True
            begin_counting(world.table, world.clock, USER_ID)
            world.now += timedelta(seconds=1)

    with world.between_calls(begin):
        done = run_rebuild(world.table, world.clock, waiting.id)
    assert began
    assert done is not None
    assert done.status == "succeeded"
    assert world.counters()[USER_ID, "requests_per_day"] == 3
    assert run_rebuild(world.table, world.clock, waiting.id) is None


OLD = [Key("ADMISSION", "0"), Key("ADMISSION", "1"), Key("ADMISSION", "13"), Key("ADMISSION_OF", USER_ID)]


def test_removes_items_of_the_old_layout_and_keeps_their_counts(world: RebuildWorld) -> None:
    while world.mixer.open:
        world.mixer.end()
    for scope in SCOPES:
        world.table.write(Delete(keys.admission(scope.id), ANY))
    for key in OLD:
        world.table.write(Put(key, {"v": 1, "rd20261102": 5, "slots": {"a": {"e": 1, "m": "x"}}, "roll": 1}, ANY))
    with world.between_calls(
        lambda name: pytest.fail("removed too early") if name == "write" and world.table.get(OLD[0]) is None else None
    ):
        world.rebuild()
    assert [world.table.get(key) for key in OLD] == [None] * 4
    world.now += timedelta(seconds=4)
    expected = world.expected()
    counters = world.counters()
    for name in ("requests_per_day", "tokens_per_month", "cost_per_month", "sessions_per_day"):
        assert counters[TENANT, name] == expected[TENANT, name]
    assert world.compare().faults == 0


def test_keeps_old_items_when_rebuilding_another_month(world: RebuildWorld) -> None:
    world.table.write(Put(OLD[0], {"v": 1}, ANY))
    world.rebuild(month=date(2026, 10, 3))
    assert world.table.get(OLD[0]) is not None


def test_ignores_old_items_in_a_comparison(world: RebuildWorld) -> None:
    world.mixer.deliver()
    world.table.write(Put(OLD[0], {"v": 1, "rd20261102": 5, "slots": {"a": {"e": 1}}}, ANY))
    assert world.compare().faults == 0
    assert world.table.get(OLD[0]) is not None


# --- who may run a rebuild


def test_a_comparison_waits_for_a_rebuild_and_fails_a_dead_one(world: RebuildWorld) -> None:
    world.damage()
    asked = RebuildStore(world.table).request(TODAY, by="operator", now=world.now)
    assert compare(world.table, world.clock) is None
    assert RebuildStore(world.table).claim(asked.id, now=world.now) is not None
    world.now += timedelta(seconds=LAPSED_SECONDS + 1)
    drift = compare(world.table, world.clock)
    assert drift is not None
    assert drift.faults == 0
    assert RebuildStore(world.table).get_drift() == drift
    world.check()


def test_a_request_returns_the_queued_rebuild(world: RebuildWorld) -> None:
    store = RebuildStore(world.table)
    first = store.request(TODAY, by="operator", now=world.now)
    assert store.request(TODAY, by=USER_ID, now=world.now, repeats=True) == first
    assert run_rebuild(world.table, world.clock, first.id) is not None
    again = store.request(TODAY, by="operator", now=world.now)
    assert again.id != first.id
    found = store.get()
    assert found is not None
    assert found.id == again.id


def test_each_rebuilt_limit_has_a_counter() -> None:
    dated = [name for name, each in DEFINITIONS.items() if each.place == "admission" and each.span in {"day", "month"}]
    assert dated == list(REBUILT)
