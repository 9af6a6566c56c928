"""Concurrent calls of the circuit breaker on DynamoDB Local.

Every outage is counted, and at most three trials start at the same time.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from atrium.kernel.errors import CircuitOpen
from atrium.llm.resilience import OPEN_SECONDS, OUTAGES_MAX, TRIALS_MAX, CircuitBreaker
from atrium.storage.table import PhysicalTable, PlatformTable

from tests.builders.runtimes import TurnedClock

pytestmark = pytest.mark.timeout(120)

CONTAINERS = 16
MODEL = "claude-haiku-5-5"


def admits(breaker: CircuitBreaker) -> bool:
    try:
        breaker.admit(MODEL)
    except CircuitOpen:
        return False
    return True


def test_racing_containers_count_every_outage_and_start_three_trials(dynamodb_table: PhysicalTable) -> None:
    clock = TurnedClock()
    breakers = [CircuitBreaker(PlatformTable(dynamodb_table), clock) for _ in range(CONTAINERS)]
    with ThreadPoolExecutor(CONTAINERS) as pool:
        list(pool.map(lambda breaker: breaker.record_outage(MODEL), breakers[: OUTAGES_MAX - 1]))
        assert admits(CircuitBreaker(PlatformTable(dynamodb_table), clock))
        breakers[0].record_outage(MODEL)
        assert not any(pool.map(admits, breakers[:1]))
        for _ in range(3):
            clock.advance(OPEN_SECONDS)
            assert sum(pool.map(admits, breakers)) == TRIALS_MAX
            assert sum(pool.map(admits, breakers)) == 0
        list(pool.map(lambda breaker: breaker.record_success(MODEL), breakers[:TRIALS_MAX]))
        assert all(pool.map(admits, breakers))
