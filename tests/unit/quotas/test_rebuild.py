"""Counters and sums made anew from the ledger: exact, whatever happens between any two of the rebuild's calls."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from atrium.kernel.errors import Unavailable
from atrium.quotas.meters import METERS, prefix_of
from atrium.quotas.model import Hold, LimitName, Subject
from atrium.quotas.rebuild.model import Difference, RebuildReport
from atrium.quotas.rebuild.service import Rebuilder
from atrium.quotas.terms import Terms
from atrium.storage import keys
from atrium.storage.queries import Query
from atrium.storage.table import PhysicalTable
from atrium.storage.writes import ANY, Delete, Update
from atrium.usage.model import Figures, SumKey
from atrium.usage.rebuild import RebuildSuperseded, read_days
from atrium.usage.sums import contributions, merge, sum_key
from botocore.exceptions import ReadTimeoutError

from tests.builders.ledger import AGENT_ID, USER_ID
from tests.builders.mixing import Mixer, tokens_of
from tests.unit.quotas.rooms import START, TENANT

LIMITS: Mapping[LimitName, int] = {
    "requests_per_minute": 1_000,
    "requests_per_day": 2_000,
    "tokens_per_month": 100_000_000,
    "cost_per_month": 10_000_000_000,
}
ONE, MANY = Terms({**LIMITS, "concurrent_turns": 16}), Terms({**LIMITS, "concurrent_turns": 40})
SUBJECTS = (
    Subject("user", USER_ID, {"requests_per_day": 500, "tokens_per_month": 10_000_000}),
    Subject("agent", AGENT_ID, {"cost_per_month": 9_000_000_000}),
)
FIRST = START.replace(day=2)  # early in the month: each day of it is a few calls
TODAY = FIRST.date()
REBUILT: tuple[LimitName, ...] = ("requests_per_day", "tokens_per_month", "cost_per_month")


@dataclass
class World:
    """A tenant with a clock that is turned, and what its counters must be."""

    physical: PhysicalTable
    terms: Terms
    seed: int
    now: datetime = FIRST
    mixer: Mixer = field(init=False)

    def __post_init__(self) -> None:
        self.mixer = Mixer(self.physical, TENANT, self.terms, self.clock, random.Random(self.seed), SUBJECTS)

    def clock(self) -> datetime:
        return self.now

    @property
    def chance(self) -> random.Random:
        return self.mixer.chance

    def mix(self, steps: int) -> None:
        for _ in range(steps):
            self.now += timedelta(milliseconds=self.chance.randrange(0, 700))
            self.mixer.step()

    def rebuild(self, token: str = "one", month: date = TODAY) -> RebuildReport:
        return Rebuilder(self.mixer.table, self.clock).rebuild(month, token)

    def items(self) -> list[dict[str, Any]]:
        return self.mixer.table.query(Query("ADMISSION", limit=100)).items

    def counters(self) -> dict[str, int]:
        second = int(self.now.timestamp())
        names = [METERS[limit].attribute("", second) for limit in REBUILT]
        user, agent = prefix_of("user", USER_ID), prefix_of("agent", AGENT_ID)
        names += [METERS[limit].attribute(user, second) for limit in REBUILT[:2]]
        names += [METERS["cost_per_month"].attribute(agent, second)]
        return {name: sum(item.get(name, 0) for item in self.items()) for name in names}

    def expected(self) -> dict[str, int]:
        entries, held = self.mixer.settled, self.mixer.open
        requests = len(entries) + len(held)
        tokens = sum(map(tokens_of, entries)) + sum(hold.tokens for hold in held)
        cost = sum(entry.cost_nanos for entry in entries) + sum(hold.cost_nanos for hold in held)
        return dict(zip(self.counters(), [requests, tokens, cost, requests, tokens, cost], strict=True))

    def check(self) -> None:
        self.mixer.deliver()
        assert self.counters() == self.expected()
        sums = merge(contributions(entry) for entry in self.mixer.settled)
        assert {key: figures for key, figures in self.sums().items() if figures != Figures()} == sums

    def sums(self) -> dict[SumKey, Figures]:
        return read_days(self.mixer.table, [TODAY])

    def damage(self) -> None:
        """Make counters and sums wrong, each in another way."""
        for item in self.items():
            for name in self.counters():
                write = Update(keys.admission(int(item["sk"])), "ADD #name :more", ANY, {"more": 0}, {"name": name})
                more = self.chance.choice([0, 1, -1, 1_000, -77])
                self.mixer.table.write(Update(write.key, write.expression, ANY, {"more": more}, write.names))
        for key in self.sums():
            kind = self.chance.randrange(4)
            if kind == 1:
                self.mixer.table.write(Delete(sum_key(key), ANY))
            elif kind == 2:
                self.mixer.table.write(Update(sum_key(key), "ADD #requests :seven", ANY, {"seven": 7}))
        self.mixer.table.write(Update(sum_key(SumKey(TODAY, "MODEL", "ghost")), "ADD #requests :one", ANY, {"one": 1}))


@pytest.fixture(params=[ONE, MANY], ids=["one item", "three items"])
def world(physical_table: PhysicalTable, request: pytest.FixtureRequest) -> World:
    world = World(physical_table, request.param, seed=7)
    world.mix(24)
    return world


@contextmanager
def before_each_call(table: PhysicalTable, act: Callable[[str], None]) -> Iterator[None]:
    """Do something before each call that reaches the table, but not before those that this makes itself."""
    busy = False

    def hook(event_name: str, **_: object) -> None:
        nonlocal busy
        if not busy:
            busy = True
            try:
                act(event_name.rpartition(".")[2])
            finally:
                busy = False

    table.client.meta.events.register("before-call.dynamodb", hook)
    try:
        yield
    finally:
        table.client.meta.events.unregister("before-call.dynamodb", hook)


def test_where_all_is_right_nothing_changes(world: World) -> None:
    world.mixer.deliver()
    before = world.sums()
    report = world.rebuild()
    assert (report.counters, report.sums, report.counted, report.uncounted) == ((), 0, 0, 0)
    assert report.entries == len(world.mixer.settled) > 10
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
    assert report.sums > 3
    world.check()


@pytest.mark.parametrize("seed", range(2))
def test_calls_go_on_between_any_two_of_its_own(physical_table: PhysicalTable, seed: int) -> None:
    world = World(physical_table, MANY if seed % 2 else ONE, seed)
    world.mix(24)
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
    for item in world.items():
        world.mixer.table.write(Delete(keys.admission(int(item["sk"])), ANY))
    report = world.rebuild()
    assert {each.stored for each in report.counters} == {0}
    world.check()
    world.mix(10)
    world.check()


def test_what_the_stream_has_forgotten_is_counted(world: World) -> None:
    report = world.rebuild()
    assert report.counted == len(world.mixer.settled) - world.mixer.counted > 0
    world.check()


@pytest.mark.parametrize("operation", ["UpdateItem", "PutItem", "DeleteItem"])
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


@pytest.mark.parametrize("at", range(2, 21, 6))
def test_one_that_dies_anywhere_is_made_good_by_the_next(physical_table: PhysicalTable, at: int) -> None:
    world = World(physical_table, MANY, at)
    world.mix(14)
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


@pytest.mark.parametrize("at", range(2, 21, 6))
def test_of_two_at_once_the_later_wins_and_nothing_is_corrected_twice(physical_table: PhysicalTable, at: int) -> None:
    world = World(physical_table, MANY, at)
    world.mix(14)
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
