"""Measurements of admission and settlement with up to 128 occupied slots, and of the turns per second of one item.

For comparison, the same number of callers makes one read and two conditional writes of a small item in place of each
turn.
"""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context

from atrium.kernel.clock import read_clock
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import TenantId, mint_tenant_id
from atrium.quotas.model import Admitted, Reservation, Used
from atrium.quotas.service import QuotaService
from atrium.storage.keys import Key
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.storage.writes import Update

from tests.bench.admission import TENANT, new_request
from tests.bench.measuring import Figures, Series, production_table

TAKEN = (1, 10, 50, 128)
CALLS = 40
PROCESSES, THREADS = 8, 8
SECONDS = 5
UNITS_PER_SECOND = 1_000
"""The write units per second that AWS provides for one partition."""
SCOPES = (replace(TENANT, limits={**TENANT.limits, "concurrent_turns": -1}),)
USED = Used(700, 400_000)


@dataclass(frozen=True)
class Load:
    """The load of one process.

    `callers` is the number of callers in all processes. `is_peer` selects the baseline calls.
    """

    url: str
    table_name: str
    tenant: TenantId
    callers: int
    number: int
    start_at: float
    is_peer: bool


def measure_slots(physical: PhysicalTable, url: str, baseline: Series) -> dict[str, Figures]:
    """Return the measurements by number of occupied slots."""
    found: dict[str, Figures] = {}
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as processes:
        list(processes.map(time.sleep, [1.0] * PROCESSES))
        for taken in TAKEN:
            admit, settle = _measure_calls(physical, taken)
            figures, ended = admit.figures(baseline), settle.figures(baseline)
            units = figures["write_units"] + ended["write_units"]
            callers = min(taken, PROCESSES * THREADS)
            load = Load(url, physical.name, _tenant_with(physical, taken - callers)[0], callers, 0, 0.0, is_peer=False)
            turns, failed = _run(processes, load)
            pairs, _ = _run(processes, replace(load, is_peer=True, tenant=mint_tenant_id(read_clock())))
            found[f"{taken} slots"] = {
                "admit_units": figures["write_units"],
                "settle_units": ended["write_units"],
                "admit_cpu_ms": figures["cpu_ms"],
                "settle_cpu_ms": ended["cpu_ms"],
                "admit_ratio_p50": figures["ratio_p50"],
                "callers": callers,
                "turns_per_second": round(turns / SECONDS, 1),
                "peer_per_second": round(pairs / SECONDS, 1),
                "ratio": round(turns / max(1, pairs), 2),
                "unavailable": failed,
                "aws_per_second": round(UNITS_PER_SECOND / units),
            }
    return found


def _tenant_with(physical: PhysicalTable, slots: int) -> tuple[TenantId, QuotaService]:
    tenant = mint_tenant_id(read_clock())
    service = QuotaService(TenantTable(physical, tenant), read_clock)
    taken = 0
    while taken < slots:
        with suppress(Unavailable):  # raised if DynamoDB Local is too slow on a busy machine
            taken += isinstance(service.admit(new_request(), SCOPES), Admitted)
    return tenant, service


def _measure_calls(physical: PhysicalTable, taken: int) -> tuple[Series, Series]:
    """Measure the admission that occupies the last of `taken` slots, and the settlement of its reservation."""
    _, service = _tenant_with(physical, taken - 1)
    admit, settle = Series("admit"), Series("settle")
    for _ in range(CALLS):
        items, request = service.read(SCOPES), new_request()
        answer = admit.measure(physical, service.admit, request, SCOPES, items)
        assert isinstance(answer, Admitted), answer
        settle.measure(physical, service.settle, answer.reservation, USED)
    return admit, settle


def _run(processes: ProcessPoolExecutor, load: Load) -> tuple[int, int]:
    """Run the load in all processes. Return the number of completed turns and the number of failed turns."""
    at = time.time() + 0.5
    found = list(processes.map(call, [replace(load, number=number, start_at=at) for number in range(PROCESSES)]))
    return sum(done for done, _ in found), sum(failed for _, failed in found)


def call(load: Load) -> tuple[int, int]:
    """Run turns in the threads of this process for `SECONDS`. Return the numbers of completed and failed turns."""
    threads = load.callers // PROCESSES + (load.number < load.callers % PROCESSES)
    table = TenantTable(production_table(load.url, load.table_name), load.tenant)
    act = _peer(table) if load.is_peer else _turn(QuotaService(table, read_clock))

    def work(_: int) -> tuple[int, int]:
        done = failed = 0
        while time.time() < load.start_at + SECONDS:
            try:
                act()
            except Unavailable:
                failed += 1
            else:
                done += 1
        return done, failed

    time.sleep(max(0.0, load.start_at - time.time()))
    if not threads:
        return 0, 0
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(work, range(threads)))
    return sum(done for done, _ in found), sum(failed for _, failed in found)


def _turn(service: QuotaService) -> Callable[[], object]:
    def act() -> Reservation:
        answer = service.admit(new_request(), SCOPES)
        if not isinstance(answer, Admitted):
            raise Unavailable(internal=f"rejected by {answer.limit}", retry_after_seconds=1)
        service.settle(answer.reservation, USED)
        return answer.reservation

    return act


def _peer(table: TenantTable) -> Callable[[], object]:
    key = Key("BENCH", "COUNTER")

    def act() -> object:
        table.get(key)
        for amount in (1, -1):
            table.write(Update(key, "ADD #n :n", "attribute_not_exists(#n) OR #n < :max", {"n": amount, "max": 10**9}))
        return None

    return act
