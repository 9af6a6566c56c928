"""Followers of events are counted per tenant until they end or their lease expires."""

from datetime import timedelta

import pytest
from atrium.kernel.clock import format_time
from atrium.kernel.errors import ConcurrencyLimited
from atrium.runs.followers import FOLLOWERS_MAX, LEASE_SECONDS, RENEW_SECONDS, FollowerLimit, followers_max
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.tenants.plans import PLANS

from tests.builders.deployments import counting
from tests.builders.runtimes import NOON, TurnedClock
from tests.builders.tenant_env import OTHER_TENANT, TENANT

MAXIMUM = 3


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def limit(physical_table: PhysicalTable, clock: TurnedClock) -> FollowerLimit:
    return FollowerLimit(TenantTable(physical_table, TENANT), MAXIMUM, clock)


def refuse(limit: FollowerLimit) -> ConcurrencyLimited:
    with pytest.raises(ConcurrencyLimited) as caught:
        limit.take()
    return caught.value


def slots(limit: FollowerLimit) -> dict[str, int]:
    found: dict[str, int] = (limit.table.get(keys.followers()) or {})["slots"]
    return found


def test_as_many_as_the_limit_says_and_the_next_when_one_has_ended(limit: FollowerLimit) -> None:
    followers = [limit.take() for _ in range(MAXIMUM)]
    error = refuse(limit)
    assert (error.status, error.code, error.retry_after_seconds) == (429, "CONCURRENCY_LIMITED", 5)
    assert error.extensions == {
        "limit": "event_followers",
        "scope": "tenant",
        "used": MAXIMUM,
        "max": MAXIMUM,
        "resets_at": format_time(NOON + timedelta(seconds=5)),
    }
    followers[1].release()
    followers[1].release()
    assert limit.take().name in slots(limit)
    refuse(limit)


def test_an_empty_item_is_used_again(limit: FollowerLimit) -> None:
    for _ in range(3):
        limit.take().release()
        assert slots(limit) == {}


def test_other_tenants_are_not_affected(
    limit: FollowerLimit, clock: TurnedClock, physical_table: PhysicalTable
) -> None:
    for _ in range(MAXIMUM):
        limit.take()
    other = FollowerLimit(TenantTable(physical_table, OTHER_TENANT), MAXIMUM, clock)
    assert other.take()


def test_one_whose_function_died_counts_until_its_lease_is_over(limit: FollowerLimit, clock: TurnedClock) -> None:
    dead, alive, ended = (limit.take() for _ in range(MAXIMUM))
    clock.advance(RENEW_SECONDS)
    assert alive.hold()
    clock.advance(LEASE_SECONDS - RENEW_SECONDS - 1)
    refuse(limit)
    clock.advance(1)
    taken = [limit.take(), limit.take()]
    assert set(slots(limit)) == {alive.name, *(each.name for each in taken)}
    assert not dead.hold(), "its place was given away, so it ends"
    ended.release()
    assert alive.hold()
    refuse(limit)


def test_a_lease_is_renewed_only_when_it_is_time(
    limit: FollowerLimit, clock: TurnedClock, physical_table: PhysicalTable
) -> None:
    follower = limit.take()
    with counting(physical_table) as calls:
        for _ in range(RENEW_SECONDS):
            assert follower.hold()
            clock.advance(1)
        assert calls == []
        assert follower.hold()
    assert calls == ["UpdateItem"]


def test_what_a_follower_costs(limit: FollowerLimit, physical_table: PhysicalTable) -> None:
    limit.take().release()
    with counting(physical_table) as calls:
        limit.take().release()
    assert calls == ["UpdateItem", "UpdateItem"]


def test_a_limit_that_became_lower_rejects_until_enough_have_ended(limit: FollowerLimit, clock: TurnedClock) -> None:
    followers = [limit.take() for _ in range(MAXIMUM)]
    lower = FollowerLimit(limit.table, 1, clock)
    followers[0].release()
    followers[1].release()
    refuse(lower)
    followers[2].release()
    assert lower.take()


def test_the_limits_of_the_plans() -> None:
    assert {name: followers_max(name) for name in PLANS} == {"free": 4, "starter": 20, "pro": 32, "enterprise": 32}
    assert FOLLOWERS_MAX == 32
