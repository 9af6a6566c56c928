"""What the processes of a rebuild's race run: mixed calls from several threads, each with the clock as it is."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from atrium.kernel.clock import read_clock
from atrium.kernel.ids import TenantId
from atrium.quotas.model import Hold
from atrium.quotas.terms import Terms
from atrium.storage.table import PhysicalTable
from atrium.usage.model import LedgerEntry

from infra.runtime.resources import Endpoint
from tests.builders.mixing import Mixer

THREADS = 4


@dataclass(frozen=True)
class Mixture:
    """Where, whose, under which terms, how many calls; it can be sent to a process."""

    url: str
    table_name: str
    tenant: TenantId
    terms: Terms
    calls: int
    seed: int
    delivers: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a process has left: settled calls, and holds that are open still."""

    settled: tuple[LedgerEntry, ...]
    open: tuple[Hold, ...]


def mix(given: Mixture) -> Outcome:
    """Admit a number of calls and settle nine of ten; where asked to, play the stream for them, too."""
    table = PhysicalTable(Endpoint(given.url).client("dynamodb"), given.table_name)

    def work(thread: int) -> Mixer:
        chance = random.Random(f"{given.seed} {thread}")
        mixer = Mixer(table, given.tenant, given.terms, read_clock, chance)
        for number in range(given.calls // THREADS):
            mixer.admit()
            if chance.random() < 0.9 or len(mixer.open) > 4:
                mixer.end()
            if given.delivers and number % 200 == 0:
                mixer.deliver()
        if given.delivers:
            mixer.deliver()
        return mixer

    with ThreadPoolExecutor(THREADS) as threads:
        mixers = list(threads.map(work, range(THREADS)))
    settled = tuple(entry for mixer in mixers for entry in mixer.settled)
    return Outcome(settled, tuple(hold for mixer in mixers for hold in mixer.open))
