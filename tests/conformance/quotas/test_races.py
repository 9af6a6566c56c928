"""Eight processes of eight threads against every limit: as many are admitted as it says, not one more or less."""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import pytest
from atrium.kernel.clock import read_clock
from atrium.kernel.ids import mint_tenant_id
from atrium.quotas.beginning import read_begun
from atrium.quotas.meters import METERS, moment
from atrium.quotas.model import LimitName, Subject
from atrium.quotas.terms import Terms
from atrium.storage.table import PhysicalTable

from infra.conformance.dynamodb import running_emulator
from infra.runtime.resources import create_table
from infra.runtime.template import Document
from tests.conformance.quotas.racing import PROCESSES, Race, Tally, begin_sessions, run, settle
from tests.unit.quotas.rooms import check_item

pytestmark = pytest.mark.timeout(240)

LIMITS: dict[LimitName, tuple[int, int]] = {  # the limit's figure, and how many calls of 100 tokens fit
    "requests_per_minute": (50, 50),
    "tokens_per_minute": (4_099, 40),
    "requests_per_day": (50, 50),
    "sessions_per_day": (17, 17),
    "tokens_per_month": (3_300, 33),
    "cost_per_month": (2_999, 29),
    "concurrent_turns": (5, 5),
}


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        list(pool.map(time.sleep, [1.0] * PROCESSES))  # so that all are there before the first race
        yield pool


@pytest.fixture
def race(dynamodb_table: PhysicalTable) -> Race:
    return race_on(dynamodb_table)


@pytest.fixture(scope="module")
def emulator_table(definition_of_table: Document, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PhysicalTable]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as emulator:
        client = emulator.client("dynamodb")
        create_table(client, {**definition_of_table, "StreamSpecification": {"StreamEnabled": False}}, "races")
        yield PhysicalTable(client, "races")
        client.close()


def race_on(table: PhysicalTable) -> Race:
    """Return a race of a new tenant's."""
    tenant, url = mint_tenant_id(read_clock()), table.client.meta.endpoint_url
    return Race(url, table.name, tenant, {}, tokens=100, cost_nanos=100, new_session=True)


def run_all(processes: ProcessPoolExecutor, race: Race) -> list[Tally]:
    started = replace(race, start_at=time.time() + 0.3)
    return list(processes.map(run, [replace(started, seed=race.seed + number) for number in range(PROCESSES)]))


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("lost", [0.0, 0.2])
@pytest.mark.parametrize("limit", LIMITS)
def test_as_many_are_admitted_as_the_limit_says(
    processes: ProcessPoolExecutor, race: Race, limit: LimitName, lost: float, turn: int
) -> None:
    maximum, fit = LIMITS[limit]
    tallies = run_all(processes, replace(race, limits={limit: maximum}, lost=lost, seed=turn * 100))
    assert sum(len(tally.holds) for tally in tallies) == fit
    assert sum(tally.refused[limit] for tally in tallies) == PROCESSES * 16 - fit


@pytest.mark.parametrize("lost", [0.0, 0.2])
@pytest.mark.parametrize("limit", LIMITS)
def test_the_local_stacks_table_is_as_exact(
    processes: ProcessPoolExecutor, emulator_table: PhysicalTable, limit: LimitName, lost: float
) -> None:
    maximum, fit = LIMITS[limit]
    for turn in range(3):
        bound = replace(race_on(emulator_table), limits={limit: maximum}, lost=lost, seed=turn * 100)
        tallies = run_all(processes, bound)
        assert sum(len(tally.holds) for tally in tallies) == fit
        assert sum(tally.refused[limit] for tally in tallies) == PROCESSES * 16 - fit


@pytest.mark.parametrize("lost", [0.0, 0.2])
@pytest.mark.parametrize("slots", [5, 40])
def test_sessions_that_begin_without_a_turn_beside_some_that_begin_with_one(
    processes: ProcessPoolExecutor, race: Race, slots: int, lost: float
) -> None:
    limits: dict[LimitName, int] = {"sessions_per_day": 17, "concurrent_turns": slots}
    started = replace(race, limits=limits, lost=lost, start_at=time.time() + 0.3)
    begun = sum(processes.map(begin_sessions, [replace(started, seed=number) for number in range(PROCESSES)]))
    items = [item for item in map(race.store().read, range(Terms(limits).shards)) if item]
    counted = sum(item.get(METERS["sessions_per_day"].attribute("", item["roll"]), 0) for item in items)
    marks = list(read_begun(race.store().table, moment(items[0]["roll"]).date()))
    assert (begun, counted, len(marks)) == (17, 17, 17)


def test_all_limits_at_once_and_settled_by_everybody(processes: ProcessPoolExecutor, race: Race) -> None:
    user = Subject("user", "usr_a", {"requests_per_minute": 13, "concurrent_turns": 12})
    limits = {name: maximum for name, (maximum, _) in LIMITS.items()} | {"concurrent_turns": 16}
    bound = replace(race, limits=limits, subjects=(user,), lost=0.1)
    holds = tuple(hold for tally in run_all(processes, bound) for hold in tally.holds)
    assert len(holds) == 12
    quiet = replace(bound, lost=0.0)
    assert sum(processes.map(settle, [quiet] * PROCESSES, [holds] * PROCESSES)) == 12
    item = quiet.store().read(0)
    assert item is not None
    check_item(item)
    assert (item["rn"], item["tn"], item["slots"], item["late"]) == (12, 600, {}, {})
    assert [amount for name, amount in item.items() if name.startswith(("tm", "cm"))] == [600, 600]
