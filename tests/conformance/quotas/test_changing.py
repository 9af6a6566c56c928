"""Limits that change while turns are admitted from many threads, on DynamoDB Local: the day's limit is met exactly."""

import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event

import pytest
from atrium.kernel.clock import read_clock
from atrium.kernel.errors import Unavailable
from atrium.quotas.model import Refused, Settled
from atrium.storage.table import PhysicalTable

from tests.unit.quotas.changes import Changing, open_changing

pytestmark = pytest.mark.timeout(240)

THREADS = 12
DAY = 150
TOKENS = 40


def test_layouts_that_change_under_load_admit_as_many_as_the_limit_says(dynamodb_table: PhysicalTable) -> None:
    tenant = open_changing(dynamodb_table, read_clock, limits=limits(5))
    over = Event()

    def change() -> int:
        changed = 0
        while not over.is_set():
            for slots in (50, 5, 100, 20):
                try:
                    tenant.changes.replace(limits(slots))
                except Unavailable:
                    continue
                changed += 1
                over.wait(0.3)
        return changed

    with ThreadPoolExecutor(THREADS + 1) as pool:
        changing = pool.submit(change)
        told = list(pool.map(partial(work, tenant), range(THREADS)))
        over.set()
        changed = changing.result()
    assert changed >= 4
    assert sum(admitted for admitted, _ in told) == DAY
    assert tenant.sum_dated("rd") == DAY
    settled = sum(each for _, each in told)
    assert tenant.sum_dated("tm") == settled * TOKENS // 2 + (DAY - settled) * TOKENS
    assert sum(len(item["slots"]) + len(item["late"]) for item in tenant.items().values()) == DAY - settled


def work(tenant: Changing, seed: int) -> tuple[int, int]:
    """Admit and settle until the day is used up; half of the callers never read their terms again."""
    chance, admitted, settled = random.Random(seed), 0, 0
    while True:
        try:
            answer = tenant.ask(TOKENS, stale=seed % 2 == 0)
        except Unavailable:
            continue
        if isinstance(answer, Refused):
            if answer.limit == "requests_per_day":
                return admitted, settled
            continue
        admitted += 1
        if chance.random() < 0.9:
            settled += isinstance(settle(tenant, answer), Settled)


def limits(slots: int) -> dict[str, int]:
    return {"concurrent_turns": slots, "requests_per_day": DAY, "requests_per_minute": -1, "tokens_per_minute": -1}


def settle(tenant: Changing, answer: object) -> object:
    hold = answer.hold  # type: ignore[attr-defined]
    while True:
        try:
            return tenant.service.settle(hold, TOKENS // 2, 0)
        except Unavailable:
            continue
