"""What the processes of a counting race run: each takes batches of the same arrivals, as shards that collide would."""

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
    """Where the table is, what is delivered, and the chance that orders it; it can be sent to a process."""

    url: str
    table_name: str
    arrivals: tuple[Arrival, ...]
    seed: int


def deliver(given: Deliveries) -> int:
    """Deliver everything in pieces from several threads, in another order, until all is counted; return the pieces."""
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
