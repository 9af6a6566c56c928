"""Limits are lowered, raised, set and removed during admissions. Each admission respects the limits that it read."""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from atrium.quotas.limits import read_limits
from atrium.quotas.model import UNLIMITED, Admitted, LimitName, Reservation, ScopeLimits, Used
from atrium.storage import keys
from atrium.storage.table import PhysicalTable
from atrium.storage.writes import ANY, Put

from tests.conformance.quotas.racing import (
    PROCESSES,
    Race,
    Tally,
    counter,
    each_thread,
    fill,
    limits_of,
    merge,
    race_on,
    until_answered,
)

SECONDS = 5
CHANGES: Sequence[dict[LimitName, int]] = (
    {"requests_per_day": 60, "concurrent_turns": 20},
    {"requests_per_day": 30, "concurrent_turns": 4},
    {"requests_per_day": UNLIMITED, "concurrent_turns": UNLIMITED},
    {"requests_per_day": 40, "tokens_per_month": 3_000, "concurrent_turns": 2},
    {"requests_per_day": 500, "concurrent_turns": 9},
)


def work(race: Race) -> Tally:
    """Admit and settle turns of one key until the time has elapsed, each turn with the current limits."""
    service, end = race.service(), race.start_at + SECONDS

    def scopes() -> tuple[ScopeLimits, ...]:
        limits = read_limits(service.table.get(keys.tenant()))
        key = {"requests_per_day": limits["requests_per_day"]} if "tokens_per_month" in limits else {}
        return (limits_of("key", concurrent_turns=10, **key), ScopeLimits("tenant", limits))

    def run(_: int) -> list[Reservation]:
        admitted = []
        while time.time() < end:
            request, limits = race.request(), scopes()
            answer = until_answered(lambda request=request, limits=limits: service.admit(request, limits))  # type: ignore[misc]  # defaults bind the variables
            if isinstance(answer, Admitted):
                admitted.append(answer.reservation)
                above = [each for each in answer.usages if each.used > each.max]
                assert not above, above
                until_answered(lambda answer=answer: service.settle(answer.reservation, Used(50, 50)))  # type: ignore[misc]  # a default binds the variable
        return admitted

    return Tally(tuple(each for own in each_thread(race, run) for each in own))


def test_each_admission_respects_the_current_limit(
    processes: ProcessPoolExecutor, dynamodb_table: PhysicalTable
) -> None:
    race = race_on(dynamodb_table, lost=0.05)
    table = replace(race, lost=0.0).service().table
    table.write(Put(keys.tenant(), {"limits": CHANGES[0]}, ANY))
    at = time.time() + 0.3
    races = [replace(race, start_at=at, seed=number) for number in range(PROCESSES)]
    working = [processes.submit(work, each) for each in races]
    for number in range(1, 3 * len(CHANGES)):
        time.sleep(SECONDS / (3 * len(CHANGES)))
        table.write(Put(keys.tenant(), {"limits": CHANGES[number % len(CHANGES)]}, ANY))
    admitted = len(merge(each.result() for each in working).granted)
    for item in race.items().values():
        assert not item.slots
        assert counter(item, "requests_per_day") == admitted
        assert counter(item, "tokens_per_month") == counter(item, "cost_per_month") == admitted * 50

    final = replace(race, scopes=(limits_of("tenant", requests_per_day=admitted + 7, concurrent_turns=UNLIMITED),))
    assert len(fill(final).granted) == 7, "a limit knows what was used before it was set"
    lowered = replace(race, scopes=(limits_of("tenant", requests_per_day=5),))
    assert len(fill(lowered).granted) == 0
