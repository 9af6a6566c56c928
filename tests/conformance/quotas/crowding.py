"""What the processes of a race against the platform's ceiling run: turns of several tenants, noted as they are."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from atrium.kernel.clock import read_clock
from atrium.kernel.ids import TenantId, mint_run_id, mint_session_id
from atrium.quotas.ceiling import Lender
from atrium.quotas.model import AdmissionRequest, LimitName, Refused
from atrium.quotas.service import AdmissionService
from atrium.quotas.store import AdmissionStore
from atrium.quotas.terms import Terms
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable

from infra.runtime.resources import Endpoint
from tests.conformance.quotas.racing import THREADS, Loss, until_told

SLOTS: dict[LimitName, int] = {"concurrent_turns": 8}


@dataclass(frozen=True)
class Crowd:
    """Where, who, under which ceiling, and until when; it can be sent to a process. `lost`: how many replies."""

    url: str
    table_name: str
    tenants: tuple[TenantId, ...]
    maximum: int
    start_at: float
    end_at: float
    seed: int = 0
    lost: float = 0.0


@dataclass(frozen=True)
class Seen:
    """When turns began and ended, each within what the table says; how often which limit refused."""

    turns: tuple[tuple[float, float], ...]
    refused: Counter[str]


def _turn(service: AdmissionService, seconds: float) -> tuple[float, float] | str:
    """Run one turn; returns when it began and ended, or which limit refused it."""
    now = read_clock()
    request = AdmissionRequest(mint_run_id(now, mint_session_id(now)), 0, 0)
    answer = until_told(lambda: service.admit(request, Terms(SLOTS)))
    if isinstance(answer, Refused):
        return answer.limit
    began = time.time()
    time.sleep(seconds)
    ended = time.time()
    until_told(lambda: service.settle(answer.hold, 0, 0))
    return began, ended


def crowd(race: Crowd) -> Seen:
    """Begin and end turns of all tenants from every thread until the time is over."""
    client = Endpoint(race.url).client("dynamodb")
    for operation in ("UpdateItem", "PutItem") if race.lost else ():
        client.meta.events.register(f"before-send.dynamodb.{operation}", Loss(race.lost, race.seed))
    physical = PhysicalTable(client, race.table_name)
    lender = Lender(PlatformTable(physical), race.maximum, read_clock)

    def work(number: int) -> Seen:
        chance = random.Random(race.seed * THREADS + number)
        turns: list[tuple[float, float]] = []
        refused: Counter[str] = Counter()
        while time.time() < race.end_at:
            store = AdmissionStore(TenantTable(physical, chance.choice(race.tenants)), read_clock, lender=lender)
            told = _turn(AdmissionService(store), 0.5 + chance.random() / 2)
            if isinstance(told, str):
                refused[told] += 1
                time.sleep(chance.random() / 10)
            else:
                turns.append(told)
        return Seen(tuple(turns), refused)

    time.sleep(max(0.0, race.start_at - time.time()))
    with ThreadPoolExecutor(THREADS) as threads:
        parts = list(threads.map(work, range(THREADS)))
    return Seen(tuple(turn for part in parts for turn in part.turns), sum((part.refused for part in parts), Counter()))
