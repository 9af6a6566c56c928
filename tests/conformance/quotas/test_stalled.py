"""A worker stalls until its lease has expired. Its reservation remains counted, so the limit is not exceeded."""

from concurrent.futures import ProcessPoolExecutor

import pytest
from atrium.quotas.model import LimitName, Used
from atrium.storage.table import PhysicalTable

from tests.conformance.quotas.racing import (
    PROCESSES,
    admit,
    counter,
    extend,
    fill,
    limits_of,
    merge,
    moved,
    race_on,
    settle,
    start,
)

STALL_SECONDS = 70
SLOTS = 10
FIT = 13
USED = Used(60, 60)


@pytest.mark.parametrize("cap", ["tokens_per_month", "cost_per_month"])
def test_the_reservation_of_a_stalled_worker_still_counts(
    processes: ProcessPoolExecutor, dynamodb_table: PhysicalTable, cap: LimitName
) -> None:
    scope = limits_of("tenant", concurrent_turns=SLOTS, **{cap: FIT * 100})
    race = race_on(dynamodb_table, scope, lost=0.1)
    stalled = merge([*start(processes, admit, race), fill(race)])
    assert len(stalled.granted) == SLOTS
    assert set(stalled.rejected) == {"tenant.concurrent_turns"}

    later = moved(race, STALL_SECONDS)
    others = merge([*start(processes, admit, later), fill(later)])
    assert len(others.granted) == FIT - SLOTS, "slots are free, but what is reserved stays reserved"
    assert set(others.rejected) == {f"tenant.{cap}"}

    assert extend((later, stalled.granted, USED)) == [], "a worker whose slot was given away must stop"
    item = later.items()[""]
    assert (len(item.slots), len(item.late), counter(item, cap)) == (FIT - SLOTS, SLOTS, FIT * 100)

    settlers = [(later, stalled.granted, USED)] * PROCESSES
    assert sum(processes.map(settle, settlers)) <= SLOTS
    item = later.items()[""]
    assert (len(item.late), counter(item, cap)) == (0, (FIT - SLOTS) * 100 + SLOTS * 60)
    assert len(fill(later).granted) == 4
    assert counter(later.items()[""], cap) == FIT * 100
