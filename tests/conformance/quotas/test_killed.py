"""Workers killed at random: never more turns at once than slots, and all slots free again within 90 seconds."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from atrium.kernel.clock import read_clock
from atrium.kernel.ids import mint_tenant_id
from atrium.storage.table import PhysicalTable

from infra.runtime.template import ROOT
from tests.conformance.quotas.dying import SLOTS, TURN_SECONDS
from tests.conformance.quotas.racing import Race, run, settle

FREE_SECONDS_MAX = 90


def start(race: Race, notes: Path) -> subprocess.Popen[bytes]:
    arguments = [race.url, race.table_name, race.tenant, str(notes)]
    return subprocess.Popen([sys.executable, "-m", "tests.conformance.quotas.dying", *arguments], cwd=ROOT)


def peak(notes: list[Path]) -> int:
    """Return how many turns ran at once at most; one that never ended as long as any."""
    steps: list[tuple[float, int]] = []
    for path in notes:
        lines = [line.split() for line in path.read_text().splitlines()]
        steps += [(float(at), 1 if what == "begin" else -1) for at, what, _ in lines]
        if lines and lines[-1][1] == "begin":
            steps.append((float(lines[-1][0]) + TURN_SECONDS, -1))
    running = most = 0
    for _, step in sorted(steps):
        running += step
        most = max(most, running)
    return most


@pytest.mark.timeout(240)
def test_killed_workers_give_their_slots_back(dynamodb_table: PhysicalTable, tmp_path: Path) -> None:
    race = Race(
        dynamodb_table.client.meta.endpoint_url, dynamodb_table.name, mint_tenant_id(read_clock()), SLOTS, attempts=1
    )
    notes = [tmp_path / f"{number}.txt" for number in range(8)]
    workers = [start(race, path) for path in notes]
    chance = random.Random(7)
    try:
        end = time.monotonic() + 60
        while not (all(path.exists() for path in notes) and sum(len(path.read_text()) for path in notes) > 4000):
            assert time.monotonic() < end, "the workers do not work"
            time.sleep(0.2)
        for worker in workers:
            time.sleep(chance.random() / 2)
            worker.kill()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    killed_at = time.monotonic()
    assert peak(notes) == 5
    item = race.store().read(0)
    assert item is not None
    assert 1 <= len(item["slots"]) <= 5, "nobody died with a slot: the test shows nothing"
    while len(holds := run(race).holds) < 5:
        assert time.monotonic() - killed_at < FREE_SECONDS_MAX
        settle(race, holds)
        time.sleep(1)
    assert len(run(race).holds) == 0
