"""The platform limit with turns of several tenants. The limit is never exceeded, and all its slots can be used."""

import random
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import pytest
from atrium.quotas.model import Admitted, Reservation, slot_name
from atrium.storage.table import PhysicalTable

from tests.conformance.quotas.racing import (
    Race,
    admit,
    limits_of,
    merge,
    platform_slots,
    race_on,
    start,
)

LOOSE = limits_of("tenant", concurrent_turns=128)
ROUNDS = 3


def fill(race: Race, tries: int) -> list[Reservation]:
    """Request `tries` turns, each from a new container. Return the reservations of the admitted turns."""
    quiet = replace(race, lost=0.0)
    answers = (quiet.service().admit(race.request(), race.scopes) for _ in range(tries))
    return [each.reservation for each in answers if isinstance(each, Admitted)]


@pytest.mark.parametrize(("maximum", "lost"), [(5, 0.0), (30, 0.0), (50, 0.0), (50, 0.2)])
def test_never_exceeds_the_limit_and_fills_it(
    processes: ProcessPoolExecutor, dynamodb_table: PhysicalTable, maximum: int, lost: float
) -> None:
    race = race_on(dynamodb_table, LOOSE, tenants=4, platform_max=maximum, lost=lost)
    running: list[Reservation] = []
    chance = random.Random(maximum)
    owners = replace(race, lost=0.0).services()
    for seed in range(ROUNDS):
        raced = merge(start(processes, admit, replace(race, seed=seed)))
        running += raced.granted
        assert len(running) <= maximum
        assert set(raced.rejected) <= {"platform.platform_concurrency"}
        running += fill(race, maximum - len(running) + 1)
        assert len(running) == maximum
        assert set().union(*platform_slots(race)) == {slot_name(each.run_id) for each in running}
        chance.shuffle(running)
        ended, running = running[: maximum // 2], running[maximum // 2 :]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda each: [owner.release(each) for owner in owners], ended))
    for tenant in race.tenants:
        for item in replace(race, tenants=(tenant,)).items().values():
            assert set(item.slots) <= {slot_name(each.run_id) for each in running}, "a rejected turn has no slot"
