"""Limits that are lowered while they are used, where counters lie in several items: never passed afterwards."""

import random

import pytest
from atrium.kernel.ids import KeyId
from atrium.quotas.changing import deal_again
from atrium.quotas.meters import prefix_of
from atrium.quotas.model import Admitted, Decision, Refused, Subject
from atrium.quotas.residents import is_apart, settle_in
from atrium.storage import keys
from atrium.storage.table import PhysicalTable
from atrium.storage.writes import ANY, Update

from tests.builders.runtimes import TurnedClock
from tests.unit.quotas.changes import Changing, open_changing

KEY = KeyId("key_01k6r5m2x8f3v9q4w7t1y0z5ad")


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.mark.parametrize(("before", "after"), [(9, 1), (9, 2), (30, 5)])
def test_a_minutes_limit(physical_table: PhysicalTable, clock: TurnedClock, before: int, after: int) -> None:
    tenant = open_changing(physical_table, clock, limits={"requests_per_minute": before})
    times = use(tenant, clock, before - 1, random.Random(before * after))
    tenant.changes.replace({"requests_per_minute": after})
    first = tenant.ask()
    assert isinstance(first, Refused)
    assert (first.limit, first.used, first.max) == ("requests_per_minute", before - 1, after)
    assert first.retry_after_seconds is not None
    frees_at = clock().timestamp() + first.retry_after_seconds
    times += ask_each_second(tenant, clock, 80)
    for at in times[before - 1 :]:
        assert sum(at - 60 < each <= at for each in times) <= after
    assert times[before - 1] <= frees_at, "what was promised held"


def test_a_keys_limit_that_lies_in_several_items(physical_table: PhysicalTable, clock: TurnedClock) -> None:
    """The key had its limits while its tenant was small."""
    tenant = open_changing(physical_table, clock, "starter")
    limit_key(tenant, requests_per_minute=9, requests_per_day=20)
    tenant.changes.change_plan("pro")
    assert not is_apart(tenant.table.get(keys.tenant()) or {}, KEY)
    times = use(tenant, clock, 8, random.Random(3), Subject("key", KEY, {"requests_per_minute": 9}))
    assert tenant.sum(f"{prefix_of('key', KEY)}rn") == 8
    limit_key(tenant, requests_per_minute=3)
    times += ask_each_second(tenant, clock, 80, Subject("key", KEY, {"requests_per_minute": 3}))
    assert len(times) > 9
    for at in times[8:]:
        assert sum(at - 60 < each <= at for each in times) <= 3


def test_a_keys_limit_of_a_day_that_lies_in_several_items(physical_table: PhysicalTable, clock: TurnedClock) -> None:
    tenant = open_changing(physical_table, clock, "starter")
    limit_key(tenant, requests_per_day=40)
    tenant.changes.change_plan("pro")
    use(tenant, clock, 7, random.Random(5), Subject("key", KEY, {"requests_per_day": 40}))
    limit_key(tenant, requests_per_day=9)
    assert len(ask_each_second(tenant, clock, 12, Subject("key", KEY, {"requests_per_day": 9}))) == 2


def test_who_gets_limits_in_a_tenant_of_several_items_is_counted_apart(
    physical_table: PhysicalTable, clock: TurnedClock
) -> None:
    tenant = open_changing(physical_table, clock, "pro")
    settle_in(tenant.table, KEY, {"requests_per_day": 1})
    assert is_apart(tenant.table.get(keys.tenant()) or {}, KEY)


def limit_key(tenant: Changing, **limits: int) -> None:
    settle_in(tenant.table, KEY, limits)
    tenant.table.write(Update(keys.api_key(KEY), "SET #limits = :limits", ANY, {"limits": limits}))
    deal_again(tenant.table, KEY)


def use(tenant: Changing, clock: TurnedClock, count: int, chance: random.Random, *subjects: Subject) -> list[float]:
    """Have so many turns admitted within forty seconds; their times."""
    times = []
    for _ in range(count):
        tenant.service.settle(tenant.admit(0, 0, *subjects), 0, 0)
        times.append(clock().timestamp())
        clock.turn(chance.random() * 40 / count)
    return times


def ask_each_second(tenant: Changing, clock: TurnedClock, seconds: int, *subjects: Subject) -> list[float]:
    times = []
    for _ in range(seconds):
        answer: Decision = tenant.ask(0, 0, *subjects)
        if isinstance(answer, Admitted):
            times.append(clock().timestamp())
            tenant.service.settle(answer.hold, 0, 0)
        clock.turn(1)
    return times
