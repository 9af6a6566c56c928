"""Either the worker or the sweeper ends a run, never both, whatever operation occurs between two writes."""

import random
import string
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from atrium.runs.model import RUN_LEASE_SECONDS, Outcome, Spend, Summary
from atrium.runs.store import RunStore

from tests.builders.records import build_outcome, build_run
from tests.builders.runtimes import NOON
from tests.builders.tenant_env import TenantEnv
from tests.builders.wires import lose_replies

LAPSED = NOON + timedelta(seconds=RUN_LEASE_SECONDS + 1)


@pytest.fixture
def runs(tenant_env: TenantEnv) -> RunStore:
    return tenant_env.runs()


def swept(*answers: str) -> Outcome:
    return build_outcome(*answers, status="failed", stop_reason=None, swept=True)


def noise(seed: int) -> str:
    return "".join(random.Random(seed).choices(string.printable, k=60_000))


def test_a_run_ends_once(runs: RunStore) -> None:
    run, first, second = build_run(), build_outcome("first"), build_outcome("second")
    runs.open(run)
    assert runs.end(run.id, first, at=NOON)
    assert not runs.end(run.id, second, at=NOON)
    assert runs.get(run.id) == run.ended(first, NOON)


def test_stores_the_summary_of_a_run(runs: RunStore) -> None:
    run, outcome = build_run(), build_outcome("answer", summary=Summary("They talked. \u00e9", "01M", 4))
    runs.open(run)
    assert runs.end(run.id, outcome, at=NOON)
    assert runs.get(run.id) == run.ended(outcome, NOON)


def test_distinguishes_equal_outcomes_of_one_moment(runs: RunStore) -> None:
    run = build_run()
    runs.open(run)
    assert runs.end(run.id, build_outcome("same"), at=NOON)
    assert not runs.end(run.id, build_outcome("same"), at=NOON)


@pytest.mark.parametrize("by", ["worker", "sweeper"])
def test_recognizes_its_own_end_after_a_lost_reply(runs: RunStore, tenant_env: TenantEnv, by: str) -> None:
    run = build_run()
    outcome = build_outcome("x") if by == "worker" else swept("x")
    runs.open(run)
    with tenant_env.intercepted(lose_replies):
        if by == "sweeper":
            taken = runs.take_over(run.id, now=LAPSED)
            assert taken is not None
            runs = replace(runs, epoch=taken.epoch)
        assert runs.end(run.id, outcome, at=NOON)
    assert runs.end(run.id, outcome, at=NOON), "and again by ourselves"


def test_an_unknown_run_cannot_be_ended(runs: RunStore) -> None:
    run = build_run()
    assert not runs.end(run.id, build_outcome("x"), at=NOON)
    assert runs.get(run.id) is None


def test_does_not_take_over_a_valid_lease(runs: RunStore) -> None:
    run = build_run()
    runs.open(run)
    assert runs.take_over(run.id, now=NOON + timedelta(seconds=RUN_LEASE_SECONDS)) is None
    runs.renew(run.id, now=NOON + timedelta(seconds=20), spend=Spend())
    assert runs.take_over(run.id, now=LAPSED) is None
    assert runs.end(run.id, build_outcome("x"), at=LAPSED)


def test_the_sweeper_ends_only_runs_that_it_took_over(runs: RunStore) -> None:
    run = build_run()
    runs.open(run)
    taken = replace(runs, epoch=1)
    assert not taken.end(run.id, swept(), at=LAPSED)
    assert runs.take_over(run.id, now=LAPSED) is not None
    assert taken.end(run.id, swept("what was stored"), at=LAPSED)
    assert runs.take_over(run.id, now=LAPSED) is None


def test_the_worker_cannot_write_after_the_take_over(runs: RunStore) -> None:
    run = build_run()
    runs.open(run)
    runs.take_over(run.id, now=LAPSED)
    assert not runs.end(run.id, build_outcome("late"), at=LAPSED)
    standing = runs.get(run.id)
    assert standing is not None
    assert standing.is_open, "until the sweeper has ended it"


def test_two_sweepers_may_take_over_and_one_ends(runs: RunStore) -> None:
    run = build_run()
    runs.open(run)
    later = LAPSED + timedelta(seconds=RUN_LEASE_SECONDS + 1)
    assert runs.take_over(run.id, now=LAPSED)
    assert runs.take_over(run.id, now=LAPSED + timedelta(seconds=1)) is None
    assert runs.take_over(run.id, now=later)
    assert [replace(runs, epoch=epoch).end(run.id, swept("text"), at=later) for epoch in (0, 1, 2)] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("first", ["worker", "sweeper"])
def test_the_losing_large_outcome_leaves_no_blob(runs: RunStore, tenant_env: TenantEnv, first: str) -> None:
    run, ours, theirs = build_run(), build_outcome(noise(1)), swept(noise(2))
    runs.open(run)
    if first == "sweeper":
        runs.take_over(run.id, now=LAPSED)
        ours, theirs = theirs, ours
    assert replace(runs, epoch=int(first == "sweeper")).end(run.id, ours, at=LAPSED)
    assert not runs.end(run.id, theirs, at=LAPSED)
    assert runs.get(run.id) == run.ended(ours, LAPSED)
    assert len(tenant_env.blobs()) == 1


def test_one_of_many_concurrent_ends_wins(runs: RunStore) -> None:
    run = build_run()
    runs.open(run)
    outcomes = [build_outcome(str(number)) for number in range(8)]
    ended: list[int] = []

    def end(number: int) -> None:
        if runs.end(run.id, outcomes[number], at=NOON):
            ended.append(number)

    threads = [threading.Thread(target=end, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 1
    assert runs.get(run.id) == run.ended(outcomes[ended[0]], NOON)
