"""A steady load at exactly the limit for several simulated minutes: at most 3 % of the calls are rejected."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from atrium.quotas.model import Admitted, Limits, QuotaScope, Rejected, ScopeLimits, Used
from atrium.storage.table import PhysicalTable

from tests.conformance.quotas.racing import IDS, THREADS, check_item, race_on

PER_SECOND = 2
SECONDS = 125
LIMITS: Limits = {"requests_per_minute": PER_SECOND * 60, "tokens_per_minute": PER_SECOND * 60 * 100}


@dataclass
class SharedClock:
    """A manual clock that all threads share."""

    now: float

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)


@pytest.mark.parametrize("names", [("tenant",), ("key", "tenant")])
def test_rejects_at_most_three_percent(dynamodb_table: PhysicalTable, names: tuple[QuotaScope, ...]) -> None:
    race = race_on(dynamodb_table)
    service = race.service()
    clock = SharedClock(race.clock().timestamp())
    service = replace(service, clock=clock)
    scopes = tuple(ScopeLimits(name, LIMITS, IDS[name]) for name in names)
    waits: list[int | None] = []

    def run(_: int) -> None:
        answer = service.admit(race.request(), scopes)
        if isinstance(answer, Admitted):
            service.settle(answer.reservation, Used(100, 0))
        else:
            waits.append(answer.retry_after_seconds)

    with ThreadPoolExecutor(THREADS) as threads:
        for _ in range(SECONDS):
            list(threads.map(run, range(PER_SECOND)))
            clock.now += 1
    assert len(waits) <= 0.03 * PER_SECOND * SECONDS
    assert all(wait is not None and 1 <= wait <= 61 for wait in waits)
    check_item(service.read(scopes)[""])


def test_retry_after_is_exact(dynamodb_table: PhysicalTable) -> None:
    race = race_on(dynamodb_table)
    clock = SharedClock(race.clock().timestamp())
    service = replace(race.service(), clock=clock)
    scopes = (
        ScopeLimits("key", {"requests_per_minute": 6, "tokens_per_minute": 900}, IDS["key"]),
        ScopeLimits("tenant", {"requests_per_minute": 9, "tokens_per_minute": 700}),
    )
    waited = 0
    for number in range(60):
        clock.now += (number * 7) % 5
        answer = service.admit(race.request(), scopes)
        if isinstance(answer, Rejected):
            assert answer.retry_after_seconds is not None
            start, waited = clock.now, waited + 1
            clock.now = start + answer.retry_after_seconds - 2
            early = isinstance(service.admit(race.request(), scopes), Admitted)
            clock.now = start + answer.retry_after_seconds
            answer = service.admit(race.request(), scopes)
            assert (early, isinstance(answer, Admitted)) == (False, True)
        assert isinstance(answer, Admitted)
        service.settle(answer.reservation, Used(100, 0))
    assert waited > 5
