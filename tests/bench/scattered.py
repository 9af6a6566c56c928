"""Simulation of turns of many tenants under a platform limit.

It measures how often a turn is rejected although slots are free. The time is simulated, and the table is real. All
events within a tenth of a second happen at once, in eight threads. Therefore, calls race more often than on AWS, where
a call takes a few milliseconds.
"""

import random
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from atrium.kernel.ids import RunId, mint_run_id, mint_session_id
from atrium.quotas.model import Rejected
from atrium.quotas.platform import PlatformLimit
from atrium.storage import platform_keys
from atrium.storage.table import PhysicalTable, PlatformTable

from tests.bench.measuring import Figures, consuming

TURN_SECONDS = 6
STEP_SECONDS = 0.1
THREADS = 8
LOADS = ((10, 100, 180), (50, 500, 60))
"""Each load: turns per second, platform limit, and duration in simulated seconds."""


@dataclass
class Clock:
    now: float = field(default_factory=time.time)

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)


def measure_scattered(physical: PhysicalTable) -> dict[str, Figures]:
    """Run each load. Return the number of rejected turns and the consumed capacity of each load."""
    found = {}
    for rate, maximum, seconds in LOADS:
        table = PlatformTable(physical)
        limit = PlatformLimit(table, maximum, Clock())
        table.delete_all([platform_keys.platform_concurrency(item) for item in range(limit.items)])
        with consuming(physical) as consumed:
            load = Load(table, maximum, random.Random(rate))
            load.run(rate, seconds)
        found[f"{rate}/s under {maximum}"] = {
            "turns": load.turns,
            "rejected": load.rejected,
            "rejected_percent": round(100 * load.rejected / load.turns, 2),
            "most_at_once": load.most,
            "write_units_per_turn": round(consumed.units(reads=False) / load.turns, 2),
            "read_units_per_turn": round(consumed.units(reads=True) / load.turns, 2),
        }
    return found


@dataclass
class Load:
    """The simulation of one load.

    `rejected` is the number of turns that were rejected while fewer turns than the limit were running.
    """

    table: PlatformTable
    maximum: int
    chance: random.Random
    turns: int = 0
    rejected: int = 0
    most: int = 0
    clock: Clock = field(default_factory=Clock)
    running: dict[RunId, int] = field(default_factory=dict)

    def run(self, rate: int, seconds: int) -> None:
        arrivals, ends = defaultdict[int, int](int), defaultdict[int, list[RunId]](list)
        at = self.chance.expovariate(rate)
        while at < seconds:
            arrivals[int(at / STEP_SECONDS)] += 1
            at += self.chance.expovariate(rate)
        with ThreadPoolExecutor(THREADS) as threads:
            for step in range(int(seconds / STEP_SECONDS)):
                over = ends.pop(step, [])
                ending = [threads.submit(self._release, run_id) for run_id in over]
                begun = list(threads.map(self._admit, range(arrivals[step])))
                for future in ending:
                    future.result()
                for run_id, answer in begun:
                    self._note(run_id, answer)
                    if not isinstance(answer, Rejected):
                        ends[step + int(TURN_SECONDS / STEP_SECONDS)].append(run_id)
                for run_id in over:
                    del self.running[run_id]
                self.clock.now += STEP_SECONDS

    def _admit(self, _: int) -> tuple[RunId, int | Rejected]:
        now = self.clock()
        run_id = mint_run_id(now, mint_session_id(now))
        return run_id, PlatformLimit(self.table, self.maximum, self.clock).admit(run_id)

    def _release(self, run_id: RunId) -> None:
        PlatformLimit(self.table, self.maximum, self.clock).release(run_id, self.running[run_id])

    def _note(self, run_id: RunId, answer: int | Rejected) -> None:
        self.turns += 1
        if isinstance(answer, Rejected):
            self.rejected += len(self.running) < self.maximum
        else:
            self.running[run_id] = answer
            self.most = max(self.most, len(self.running))
