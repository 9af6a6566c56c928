"""Code that runs in the processes of a counting race.

Each process delivers batches of the same ledger entries, like concurrent shards of a stream.
"""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from atrium.storage.table import PhysicalTable, TenantTable
from atrium.usage.model import Arrival
from atrium.usage.service import UsageCounter

from infra.runtime.resources import Endpoint

THREADS = 4


@dataclass(frozen=True)
class Deliveries:
    """The table, the ledger entries, and the seed of the random delivery order. Instances can be pickled."""

    url: str
    table_name: str
    arrivals: tuple[Arrival, ...]
    seed: int


def deliver(given: Deliveries) -> int:
    """Deliver all entries twice in random batches, from several threads, until every batch is counted.

    Return the number of batches.
    """
    table = PhysicalTable(Endpoint(given.url).client("dynamodb"), given.table_name)
    counter = UsageCounter(lambda tenant_id: TenantTable(table, tenant_id))
    chance = random.Random(given.seed)

    def bring(piece: list[Arrival]) -> None:
        while counter.count(piece):
            pass

    pieces: list[list[Arrival]] = []
    for _ in range(2):
        shuffled = chance.sample(given.arrivals, len(given.arrivals))
        while shuffled:
            size = chance.randrange(1, 12)
            pieces.append(shuffled[:size])
            del shuffled[:size]
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(bring, pieces))
    return len(pieces)
