"""Comparing counters with the ledger: what is wrong is told, and nothing is changed."""

from datetime import date, timedelta

import pytest
from atrium.quotas.model import Hold
from atrium.quotas.rebuild.model import Difference
from atrium.quotas.rebuild.service import Rebuilder
from atrium.quotas.terms import Terms
from atrium.storage.table import PhysicalTable

from tests.builders.mixing import tokens_of
from tests.unit.quotas.rebuilding import MANY, ONE, World

pytestmark = pytest.mark.timeout(180)  # each is a hundred calls of an emulator that is slow beside others


@pytest.fixture
def world(physical_table: PhysicalTable) -> World:
    world = World(physical_table, MANY, seed=7)
    world.begin()
    return world


def test_last_months_sums_are_rebuilt_and_its_counters_left(world: World) -> None:
    world.mixer.deliver()
    world.damage()
    wrong = world.counters()
    report = world.rebuild(month=date(2026, 10, 3))
    assert (report.counters, report.sums) == ((), 0)
    assert world.counters() == wrong


def test_a_comparison_finds_what_is_wrong_and_changes_nothing(world: World) -> None:
    world.mixer.deliver()
    comparing = Rebuilder(world.mixer.table, world.clock)
    assert comparing.compare().faults == 0
    world.damage()
    wrong, sums = world.counters(), world.sums()
    drift = comparing.compare()
    assert drift.faults > 3
    assert (world.counters(), world.sums()) == (wrong, sums)
    assert drift.sums == world.rebuild().sums
    assert comparing.compare().faults == 0


def test_a_comparison_tells_entries_that_the_stream_forgot(world: World) -> None:
    world.mixer.deliver()
    world.mixer.admit()
    world.mixer.end()
    assert Rebuilder(world.mixer.table, world.clock).compare().uncounted == 0
    world.now += timedelta(minutes=16)
    drift = Rebuilder(world.mixer.table, world.clock).compare()
    assert (drift.uncounted, drift.faults) == (1, 0)


def test_calls_from_before_a_limit_was_set_are_no_fault(physical_table: PhysicalTable) -> None:
    world = World(physical_table, Terms({}), seed=3)
    world.mixer.subjects = ()
    world.mixer.admit()
    world.mixer.end()
    assert world.items() == []
    world.mixer.terms = ONE
    world.mixer.admit()
    assert isinstance(world.mixer.open[0], Hold)
    world.mixer.end()
    found = Rebuilder(world.mixer.table, world.clock).compare()
    assert found.faults == 0
    first, second = (tokens_of(entry) for entry in world.mixer.settled)
    assert Difference("tokens_per_month", "", second, first + second, is_explained=True) in found.counters
    world.rebuild()
    assert Rebuilder(world.mixer.table, world.clock).compare().counters == ()
