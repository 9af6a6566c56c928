"""Counters and sums made anew from the ledger: exact, whatever happens between any two of the rebuild's calls."""

from datetime import timedelta

import pytest
from atrium.kernel.errors import Unavailable
from atrium.quotas.meters import METERS
from atrium.quotas.terms import Terms
from atrium.storage.table import PhysicalTable
from atrium.storage.writes import ANY, Delete
from atrium.usage.rebuild import RebuildSuperseded
from botocore.exceptions import ReadTimeoutError

from tests.unit.quotas.rebuilding import MANY, ONE, REBUILT, World, before_each_call

pytestmark = pytest.mark.timeout(180)  # each is a hundred calls of an emulator that is slow beside others


@pytest.fixture(params=[False, True], ids=["within", "apart"])
def world(physical_table: PhysicalTable, request: pytest.FixtureRequest) -> World:
    world = World(physical_table, MANY, seed=7, apart=request.param)
    world.begin()
    return world


def test_where_all_is_right_nothing_changes(world: World) -> None:
    world.mixer.deliver()
    before = world.sums()
    report = world.rebuild()
    assert (report.counters, report.sums, report.counted, report.uncounted) == ((), 0, 0, 0)
    assert report.entries == len(world.mixer.settled) > 3
    assert world.sums() == before
    assert not [item for item in world.items() if "fence" in item]
    world.check()


def test_what_is_wrong_is_made_right_and_told(world: World) -> None:
    world.mixer.deliver()
    world.damage()
    wrong = world.counters()
    report = world.rebuild()
    told = {each.limit: (each.stored, each.expected) for each in report.counters if not each.subject}
    right = world.expected()
    for limit in REBUILT:
        name = METERS[limit].attribute("", int(world.now.timestamp()))
        assert told.get(limit, (wrong[name], wrong[name])) == (wrong[name], right[name])
    assert report.sums > 0
    world.check()


@pytest.mark.parametrize("seed", range(3))
def test_calls_go_on_between_any_two_of_its_own(physical_table: PhysicalTable, seed: int) -> None:
    world = World(physical_table, MANY if seed % 2 else ONE, seed, apart=seed > 1)
    world.begin()
    world.damage()
    with before_each_call(physical_table, lambda _: world.mix(world.chance.randrange(0, 3))):
        world.rebuild()
    world.check()


def test_a_call_that_is_in_the_ledger_but_not_yet_settled_counts_as_held(world: World) -> None:
    world.mixer.admit()
    hold = world.mixer.open.pop()
    entry = world.mixer.write_ledger(hold)
    assert world.rebuild().counters == ()
    world.mixer.settle(hold, entry)
    world.check()


def test_a_lost_admission_item_comes_back_from_the_ledger(world: World) -> None:
    while world.mixer.open:
        world.mixer.end()
    for key in world.places():
        world.mixer.table.write(Delete(key, ANY))
    report = world.rebuild()
    assert {each.stored for each in report.counters} == {0}
    world.check()
    world.mix(10)
    world.check()


@pytest.mark.parametrize("terms", [Terms({}), Terms({"requests_per_minute": 100, "concurrent_turns": 16})])
def test_what_nothing_has_bounded_is_there_for_a_limit_to_come(physical_table: PhysicalTable, terms: Terms) -> None:
    world = World(physical_table, terms, seed=3)
    world.mixer.subjects = ()
    for _ in range(3):
        world.mixer.admit()
    for _ in range(3):
        world.mixer.end()
    world.now += timedelta(seconds=2)
    world.rebuild()
    expected = world.expected()
    for limit in REBUILT:
        name = METERS[limit].attribute("", int(world.now.timestamp()))
        assert limit == "sessions_per_day" or world.counters()[name] == expected[name] > 0, limit


def test_what_the_stream_has_forgotten_is_counted(world: World) -> None:
    report = world.rebuild()
    assert report.counted == len(world.mixer.settled) - world.mixer.counted > 0
    world.check()


@pytest.mark.parametrize("operation", ["UpdateItem", "PutItem"])
def test_replies_that_are_lost_after_the_write_change_nothing(world: World, operation: str) -> None:
    world.damage()

    def lose(**_: object) -> None:
        if world.chance.random() < 0.4:
            raise ReadTimeoutError(endpoint_url="dynamodb")

    events = world.physical.client.meta.events
    events.register(f"after-call.dynamodb.{operation}", lose)
    try:
        for _ in range(40):
            try:
                world.rebuild()
                break
            except (Unavailable, RebuildSuperseded):
                continue
    finally:
        events.unregister(f"after-call.dynamodb.{operation}", lose)
    world.rebuild("two")
    world.check()


class Killed(BaseException):
    """The function is gone."""


@pytest.mark.parametrize("at", [4, 12, 16])
def test_one_that_dies_anywhere_is_made_good_by_the_next(physical_table: PhysicalTable, at: int) -> None:
    world = World(physical_table, MANY, at, apart=at == 12)
    world.begin()
    world.damage()
    calls = 0

    def kill(_: str) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Killed

    with pytest.raises(Killed), before_each_call(physical_table, kill):
        world.rebuild("one")
    world.mix(6)
    world.rebuild("two")
    world.check()


@pytest.mark.parametrize("at", [4, 12, 16])
def test_of_two_at_once_the_later_wins_and_nothing_is_corrected_twice(physical_table: PhysicalTable, at: int) -> None:
    world = World(physical_table, MANY, at, apart=at == 12)
    world.begin()
    world.damage()
    calls = 0

    def overtake(_: str) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            world.rebuild("two")
            world.mix(3)

    with before_each_call(physical_table, overtake):
        try:
            world.rebuild("one")
        except RebuildSuperseded:
            assert calls >= at
    assert calls >= at
    world.check()
