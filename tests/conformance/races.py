"""Code that runs in the processes of a race.

Each process has a separate client and several threads, and returns the number of its successful calls.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.kernel.ids import TenantId
from atrium.storage.keys import Key
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.storage.writes import Check, Update

from infra.runtime.resources import Endpoint

PROCESSES = 4
THREADS = 16
TENANT = TenantId("ten_01k6r5m2x8f3v9q4w7t1y0z5ab")
COUNTER = Key("RACE", "COUNTER")


@dataclass(frozen=True)
class Race:
    """The parameters of a race. Instances can be pickled."""

    url: str
    table_name: str
    attempts: int
    maximum: int

    def table(self) -> TenantTable:
        """Return the table with the client of this process."""
        return TenantTable(PhysicalTable(Endpoint(self.url).client("dynamodb"), self.table_name), TENANT)


def count(granted: Callable[[Race], int], race: Race) -> int:
    """Run `granted` in all processes. Return the total number of successes."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(granted, [race] * PROCESSES))


def take_while_below(race: Race) -> int:
    """Increment a counter from every thread while it is below the maximum. Return the number of successes."""
    table = race.table()
    values: dict[str, Any] = {"one": 1, "max": race.maximum}

    def take(_: int) -> int:
        try:
            table.write(Update(COUNTER, "ADD #n :one", "attribute_not_exists(#n) OR #n < :max", values))
        except ConditionFailed:
            return 0
        return 1

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(take, range(race.attempts)))


def add_in_transactions(race: Race) -> int:
    """Increment a counter in conflicting transactions, with the retries of a caller. Return the number of successes."""
    table = race.table()
    other = Key("RACE", "OTHER")

    def add(number: int) -> int:
        for _ in range(200):
            try:
                table.transact(
                    [Update(COUNTER, "ADD #n :one", "", {"one": 1}), Check(other, "attribute_not_exists(pk)")],
                    token=f"{race.table_name[-12:]}-{id(table)}-{number}"[:36],
                )
            except Unavailable:
                continue
            return 1
        return 0

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(add, range(race.attempts)))
