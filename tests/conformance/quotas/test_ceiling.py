"""Eight processes of eight threads, four tenants, one ceiling: as many turns at once as it says, and never more."""

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import pytest
from atrium.kernel.clock import read_clock
from atrium.kernel.ids import mint_tenant_id
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, PlatformTable

from tests.conformance.quotas.crowding import Crowd, crowd
from tests.conformance.quotas.racing import PROCESSES

pytestmark = pytest.mark.timeout(240)

SECONDS = 12


def peak(turns: list[tuple[float, float]]) -> int:
    """Return how many turns ran at once at most."""
    steps = sorted([(began, 1) for began, _ in turns] + [(ended, -1) for _, ended in turns])
    running = most = 0
    for _, step in steps:
        running += step
        most = max(most, running)
    return most


@pytest.mark.parametrize(("maximum", "lost"), [(3, 0.0), (12, 0.0), (12, 0.1)])
def test_all_turns_together_are_within_the_ceiling(dynamodb_table: PhysicalTable, maximum: int, lost: float) -> None:
    tenants = tuple(mint_tenant_id(read_clock()) for _ in range(4))
    url = dynamodb_table.client.meta.endpoint_url
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as processes:
        list(processes.map(time.sleep, [1.0] * PROCESSES))
        start = time.time() + 0.5
        race = Crowd(url, dynamodb_table.name, tenants, maximum, start, start + SECONDS, lost=lost)
        seen = list(processes.map(crowd, [replace(race, seed=number) for number in range(PROCESSES)]))
    turns = [turn for each in seen for turn in each.turns]
    assert peak(turns) == maximum
    assert sum(each.refused["platform_concurrency"] for each in seen) > 0
    ceiling = PlatformTable(dynamodb_table).get(keys.ceiling())
    assert ceiling is not None
    assert sum(block["n"] for block in ceiling["blocks"].values()) <= maximum
