"""Workers are killed at random times.

Concurrent turns never exceed the limit, and all slots are usable again within 90 seconds. The workers are separate
processes that are really killed. The 90 seconds are simulated with the clock.
"""

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from atrium.storage.table import PhysicalTable

from infra.runtime.template import ROOT
from tests.conformance.quotas.dying import TURN_SECONDS, WORKERS, build_race
from tests.conformance.quotas.racing import Race, fill, moved, platform_slots, race_on

FREE_SECONDS_MAX = 90
NOTES_MIN = 6_000
"""Total size in bytes of the workers' notes before a worker is killed, equal to about forty turns."""


def start(race: Race, notes: Path) -> subprocess.Popen[bytes]:
    arguments = [race.url, race.table_name, *race.tenants, str(race.offset), str(notes)]
    return subprocess.Popen([sys.executable, "-m", "tests.conformance.quotas.dying", *arguments], cwd=ROOT)


def peak(notes: list[Path]) -> int:
    """Return the maximum number of concurrent turns. A turn without an end is counted as running."""
    steps: list[tuple[float, int]] = []
    for path in notes:
        begun: dict[str, float] = {}
        for at, what, run_id in (line.split() for line in path.read_text().splitlines()):
            if what == "begin":
                begun[run_id] = float(at)
            else:
                steps += [(begun.pop(run_id), 1), (float(at), -1)]
        steps += [step for at in begun.values() for step in ((at, 1), (at + TURN_SECONDS, -1))]
    running = most = 0
    for _, step in sorted(steps):
        running += step
        most = max(most, running)
    return most


def test_slots_of_killed_workers_are_released(dynamodb_table: PhysicalTable, tmp_path: Path) -> None:
    race = build_race(race_on(dynamodb_table))
    limit = race.scopes[-1].maximum("concurrent_turns")
    notes = [tmp_path / f"{number}.txt" for number in range(WORKERS)]
    workers = [start(race, path) for path in notes]
    chance = random.Random(7)
    try:
        end = time.monotonic() + 60
        while sum(path.stat().st_size for path in notes if path.exists()) < NOTES_MIN:
            assert time.monotonic() < end, "the workers do not work"
            time.sleep(0.1)
        for worker in chance.sample(workers, len(workers)):
            time.sleep(chance.random() / 4)
            worker.kill()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert peak(notes) == limit
    # A worker can be killed between two writes, so the scopes and the platform can have slots of different turns.
    held = [len(item.slots) for item in race.items().values()] + [sum(map(len, platform_slots(race)))]
    assert min(held) >= 1, "no worker died with a slot"
    assert max(held) <= limit
    assert len(fill(race).granted) == limit - max(held)
    later = moved(race, FREE_SECONDS_MAX)
    assert len(fill(later).granted) == limit
    assert len(fill(replace(later, seed=1)).granted) == 0
