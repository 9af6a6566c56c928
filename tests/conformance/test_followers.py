"""Concurrent followers of run events, on DynamoDB Local. The limit is never exceeded, and all slots are released."""

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import pytest
from atrium.kernel.clock import read_clock
from atrium.kernel.errors import ConcurrencyLimited
from atrium.runs.followers import FollowerLimit
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.storage.writes import ANY, Put

from tests.builders.tenant_env import TENANT

THREADS = 16
MAXIMUM = 7


@pytest.fixture
def limit(dynamodb_table: PhysicalTable) -> FollowerLimit:
    return FollowerLimit(TenantTable(dynamodb_table, TENANT), MAXIMUM, read_clock)


def slots(limit: FollowerLimit) -> dict[str, int]:
    found: dict[str, int] = (limit.table.get(keys.followers()) or {})["slots"]
    return found


@pytest.mark.parametrize("dead", [0, MAXIMUM, 3])
def test_as_many_are_taken_as_the_limit_says(limit: FollowerLimit, dead: int) -> None:
    """The limit also applies if all callers race for the slots of followers whose lease has expired."""
    if dead:
        limit.table.write(Put(keys.followers(), {"slots": {f"dead{number}": 1 for number in range(dead)}}, ANY))

    def take(_: int) -> bool:
        try:
            limit.take()
        except ConcurrencyLimited:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        taken = list(pool.map(take, range(THREADS * 3)))
    assert taken.count(True) == MAXIMUM
    assert len(slots(limit)) == MAXIMUM


def test_never_more_at_once_while_they_come_and_end(limit: FollowerLimit) -> None:
    lock, now, most = Lock(), [0], [0]

    def act(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(12):
            try:
                follower = limit.take()
            except ConcurrencyLimited:
                continue
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            if chance.random() < 0.5:
                follower.hold()
            with lock:
                now[0] -= 1
            follower.release()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(act, range(THREADS)))
    assert 0 < most[0] <= MAXIMUM
    assert slots(limit) == {}
