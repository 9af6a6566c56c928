"""A key that is counted apart, raced as its tenant is: its limit holds exactly, and its tenant's with it."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import pytest
from atrium.kernel.clock import read_clock
from atrium.kernel.ids import mint_tenant_id
from atrium.quotas.model import AdmissionRequest, Admitted, LimitName, Limits, NotHeld, Settled, Subject
from atrium.quotas.service import AdmissionService
from atrium.quotas.terms import Terms
from atrium.storage.table import PhysicalTable

from tests.conformance.quotas.racing import PROCESSES, Race, Tally, begin_sessions, run_served
from tests.conformance.quotas.test_cost import PRO
from tests.conformance.quotas.test_races import LIMITS
from tests.unit.quotas.rooms import Room, check_item, make_run_id

pytestmark = pytest.mark.timeout(240)

KEY_ID = "key_a"
CALLS = PROCESSES * 16


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        list(pool.map(time.sleep, [1.0] * PROCESSES))
        yield pool


@pytest.fixture
def race(dynamodb_table: PhysicalTable) -> Race:
    tenant, url = mint_tenant_id(read_clock()), dynamodb_table.client.meta.endpoint_url
    return Race(url, dynamodb_table.name, tenant, {}, tokens=100, cost_nanos=100, new_session=True)


def key(**limits: int) -> Subject:
    return Subject("key", KEY_ID, limits, apart=True)  # type: ignore[arg-type]  # names of limits


def run_all(processes: ProcessPoolExecutor, race: Race) -> list[Tally]:
    started = replace(race, start_at=time.time() + 0.3)
    return list(processes.map(run_served, [replace(started, seed=race.seed + number) for number in range(PROCESSES)]))


@pytest.mark.parametrize("lost", [0.0, 0.2])
@pytest.mark.parametrize("limit", LIMITS)
def test_as_many_are_admitted_as_its_limit_says(
    processes: ProcessPoolExecutor, race: Race, limit: LimitName, lost: float
) -> None:
    maximum, fit = LIMITS[limit]
    bound = replace(race, limits={"requests_per_day": 1_000, "concurrent_turns": 200}, lost=lost)
    tallies = run_all(processes, replace(bound, subjects=(key(**{limit: maximum}),)))
    assert sum(len(tally.holds) for tally in tallies) == fit
    assert sum((tally.refused for tally in tallies), Counter()) == {f"key.{limit}": CALLS - fit}
    own = bound.store().at(KEY_ID).read(0)
    assert own is not None
    check_item(own)
    assert len(own["slots"]) == fit


@pytest.mark.parametrize("lost", [0.0, 0.2])
def test_what_its_tenant_refuses_it_has_not_counted(processes: ProcessPoolExecutor, race: Race, lost: float) -> None:
    limits: Limits = {"requests_per_day": 13, "concurrent_turns": 16}
    bound = replace(race, limits=limits, subjects=(key(requests_per_day=100, tokens_per_month=1_000_000),), lost=lost)
    holds = [hold for tally in run_all(processes, bound) for hold in tally.holds]
    assert len(holds) == 13
    quiet = replace(bound, lost=0.0).store()
    own, tenant = quiet.at(KEY_ID).read(0), quiet.read(0)
    assert own is not None
    assert tenant is not None
    check_item(own)
    assert len(tenant["slots"]) == 13
    left = set(own["slots"]) - set(tenant["slots"])
    assert lost or not left, "what could not be given back for want of a reply is the sweeper's"
    counted = [amount for name, amount in sorted(own.items()) if name.startswith(("rd", "tm"))]
    assert counted == [13 + len(left), 100 * (13 + len(left))]
    service = AdmissionService(quiet)
    assert [service.settle(hold, 60, 0) for hold in holds] == [Settled()] * 13
    assert [service.settle(hold, 60, 0) for hold in holds] == [NotHeld()] * 13
    own = quiet.at(KEY_ID).read(0) or {}
    assert [amount for name, amount in own.items() if name.startswith("tm")] == [60 * 13 + 100 * len(left)]


def test_its_sessions_of_a_day(processes: ProcessPoolExecutor, race: Race) -> None:
    bound = replace(race, limits={"concurrent_turns": 16}, subjects=(key(sessions_per_day=17),), lost=0.1)
    started = replace(bound, start_at=time.time() + 0.3)
    begun = sum(processes.map(begin_sessions, [replace(started, seed=number) for number in range(PROCESSES)]))
    own = bound.store().at(KEY_ID).read(0) or {}
    assert (begun, [amount for name, amount in own.items() if name.startswith("sd")]) == (17, [17])


def test_a_turn_costs_the_same_however_many_keys_have_limits(dynamodb_table: PhysicalTable) -> None:
    """With three hundred keys that have called within the day: two units for a write at most."""
    room = Room(dynamodb_table, {}, tenant=mint_tenant_id(read_clock()))
    service, terms = AdmissionService(room.store), Terms(PRO)
    units: list[float] = []

    def ask(params: dict[str, Any], **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"

    def note(parsed: dict[str, Any], **_: object) -> None:
        units.append(parsed.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0))

    def turn(number: int) -> None:
        subject = replace(
            key(requests_per_minute=60, tokens_per_minute=9_000, requests_per_day=500), id=f"key_{number}"
        )
        request = AdmissionRequest(make_run_id(room.now), 900, 1_000_000, False, (subject,))
        answer = service.admit(request, terms)
        assert isinstance(answer, Admitted), answer
        service.settle(answer.hold, 321, 456_789)
        room.turn(0.25)

    for number in range(300):
        turn(number)
    events = dynamodb_table.client.meta.events
    events.register("provide-client-params.dynamodb.UpdateItem", ask)
    events.register("after-call.dynamodb.UpdateItem", note)
    for number in range(20):
        turn(number)
    assert max(units) <= 2
    assert sum(units) / 20 <= 5, "two writes to admit and two to settle, of a unit each"
