"""The comparison of counters with the ledger: it reports differences and writes nothing."""

from dataclasses import replace
from datetime import timedelta

import pytest
from atrium.kernel.ids import mint_run_id, mint_session_id
from atrium.quotas.model import TENANT, Reservation
from atrium.quotas.rebuild.model import Difference
from atrium.storage import keys

from tests.unit.quotas.rebuilding import SCOPES, RebuildWorld


def test_a_comparison_reports_differences_without_correcting_them(world: RebuildWorld) -> None:
    world.mixer.deliver()
    assert world.compare().faults == 0
    world.damage()
    wrong, sums = world.counters(), world.sums()
    before = {scope.id: {**world.item(scope.id), "at": 0, "v": 0} for scope in SCOPES}
    drift = world.compare()
    assert drift.faults > 3
    assert {scope.id: {**world.item(scope.id), "at": 0, "v": 0} for scope in SCOPES} == before
    assert (world.counters(), world.sums()) == (wrong, sums)
    assert drift.sums == world.rebuild().sums
    assert world.compare().faults == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_comparison_during_calls_finds_no_difference(seed: int) -> None:
    world = RebuildWorld(seed)
    world.begin()
    with world.between_calls(lambda _: world.mix(world.chance.randrange(0, 3))):
        for _ in range(3):
            assert world.compare().counters == ()


def test_a_comparison_reports_entries_that_the_stream_missed(world: RebuildWorld) -> None:
    world.mixer.deliver()
    world.mixer.admit()
    world.mixer.end()
    assert world.compare().uncounted == 0
    world.now += timedelta(minutes=16)
    drift = world.compare()
    assert (drift.uncounted, drift.faults) == (1, 0)


def test_a_comparison_explains_runs_that_no_item_counted(world: RebuildWorld) -> None:
    """Such a run was admitted while the table was unavailable."""
    world.mixer.deliver()
    run_id = mint_run_id(world.now, mint_session_id(world.now))
    slot = replace(world.mixer.open[0].own, past_tokens=60, past_cost_nanos=70)
    unrecorded = Reservation(run_id, {TENANT: slot}, recorded=False)
    entry = world.mixer.write_ledger(unrecorded)
    world.mixer.deliver()
    drift = world.compare()
    assert drift.faults == 0
    found = {(each.subject, each.limit): each for each in drift.counters}
    stored = world.counters()[TENANT, "tokens_per_month"]
    assert found[TENANT, "tokens_per_month"] == Difference(
        "tokens_per_month", TENANT, stored, stored + entry.total_tokens, is_explained=True
    )
    world.rebuild()
    assert world.compare().counters == ()


def test_reads_the_ledger_once_for_thousands_of_users(world: RebuildWorld) -> None:
    for number in range(1_000):
        world.memory.items[keys.admission(f"usr_{number:026d}")] = {"v": 1, "at": 1, "slots": {}, "late": {}}
    before = len(world.memory.calls)
    world.rebuild()
    calls = len(world.memory.calls) - before
    assert calls < 2 * 1_004 + 60
    world.check()
