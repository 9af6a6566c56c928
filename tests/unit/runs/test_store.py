"""Runs in the table: created once, renewed by their worker, listed, and read back unchanged."""

import random
import string
from dataclasses import replace
from datetime import timedelta

import pytest
from atrium.kernel.ids import RunId, mint_session_id
from atrium.kernel.pagination import PageRequest
from atrium.llm.model import Thinking, Usage
from atrium.runs.model import RUN_LEASE_SECONDS, Run, Spend
from atrium.runs.store import LeaseLost, RunStore
from atrium.storage.sweep import OpenRun, list_swept

from tests.builders.records import SPEND, build_events, build_message, build_outcome, build_run, build_tool_step
from tests.builders.runtimes import NOON
from tests.builders.tenant_env import OTHER_OWNER, OTHER_TENANT, OWNER, TENANT, TenantEnv
from tests.builders.wires import Recorder, lose_replies


@pytest.fixture
def runs(tenant_env: TenantEnv) -> RunStore:
    return tenant_env.runs()


def noise(size: int) -> str:
    return "".join(random.Random(3).choices(string.printable, k=size))


def is_marked_open(tenant_env: TenantEnv, run: Run) -> bool:
    return OpenRun(TENANT, run.id) in list(list_swept(tenant_env.physical))


def test_reads_back_an_open_run(runs: RunStore, tenant_env: TenantEnv) -> None:
    run = build_run(end_user="ann", metadata={"a": [1.5, None, {"b": "ü"}]})
    runs.open(run)
    assert runs.get(run.id) == run
    assert is_marked_open(tenant_env, run)


def test_reads_back_an_ended_run_with_its_messages(runs: RunStore, tenant_env: TenantEnv) -> None:
    run = build_run()
    steps = build_tool_step(3)
    thought = build_message("assistant", Thinking("hm", "sig"), Thinking("", "opaque", redacted=True), "So.")
    outcome = build_outcome(
        messages=(*steps, thought), tail=tuple(build_events(2, 5)), last_sequence=5, iterations=2, degraded=True
    )
    runs.open(run)
    assert runs.end(run.id, outcome, at=NOON + timedelta(seconds=3))
    ended = runs.get(run.id)
    assert ended == run.ended(outcome, NOON + timedelta(seconds=3))
    assert ended is not None
    assert [message.role for message in ended.messages] == ["user", "assistant", "tool", "assistant"]
    assert (ended.is_open, ended.lease_until, ended.spend) == (False, None, SPEND)
    assert not is_marked_open(tenant_env, run)


def test_creating_again_after_a_lost_reply(runs: RunStore, tenant_env: TenantEnv) -> None:
    run = build_run()
    with tenant_env.intercepted(lose_replies):
        runs.open(run)
    assert runs.get(run.id) == run


def test_stores_large_messages_in_s3(runs: RunStore, tenant_env: TenantEnv) -> None:
    run = build_run(question=noise(60_000))
    runs.open(run)
    outcome = build_outcome(noise(80_000), tail=tuple(build_events(2, 3, noise(1_000))), last_sequence=3)
    assert runs.end(run.id, outcome, at=NOON)
    assert runs.get(run.id) == run.ended(outcome, NOON)
    assert len(tenant_env.blobs()) == 2
    item = next(item for item in tenant_env.items(f"SESSION#{run.session_id}"))
    assert len(str(item)) < 4_000, "the item keeps references and excerpts"


def test_an_unknown_run_is_none(runs: RunStore) -> None:
    assert runs.get(build_run().id) is None


def test_another_tenants_run_is_none(runs: RunStore, tenant_env: TenantEnv) -> None:
    run = build_run()
    runs.open(run)
    other = tenant_env.runs(OTHER_TENANT)
    assert other.get(run.id) is None
    assert other.request_cancel(run.id) is None
    assert other.take_over(run.id, now=NOON + timedelta(days=1)) is None
    assert not other.end(run.id, build_outcome("x"), at=NOON)
    assert other.list_by_session(run.session_id, PageRequest(), newest_first=True).items == []
    assert runs.get(run.id) == run


def test_renewing_extends_the_lease_and_stores_the_spend(runs: RunStore) -> None:
    run = build_run()
    runs.open(run)
    spend = Spend(Usage(7, 8), {"calculator": 2}, 9)
    assert runs.renew(run.id, now=NOON + timedelta(seconds=15), spend=spend) is False
    renewed = runs.get(run.id)
    assert renewed == replace(run, lease_until=NOON + timedelta(seconds=15 + RUN_LEASE_SECONDS), spend=spend)


def test_renewing_again_after_a_lost_reply(runs: RunStore, tenant_env: TenantEnv) -> None:
    run = build_run()
    runs.open(run)
    with tenant_env.intercepted(lose_replies):
        assert runs.renew(run.id, now=NOON, spend=SPEND) is False


def test_read_and_renewal_see_a_cancellation(runs: RunStore) -> None:
    run = build_run()
    runs.open(run)
    assert runs.is_cancelled(run.id) is False
    marked = runs.request_cancel(run.id)
    assert marked == replace(run, cancel_requested=True)
    assert runs.is_cancelled(run.id) is True
    assert runs.renew(run.id, now=NOON, spend=Spend()) is True


def test_cancelling_an_ended_run_changes_nothing(runs: RunStore) -> None:
    run, outcome = build_run(), build_outcome("done")
    runs.open(run)
    runs.end(run.id, outcome, at=NOON)
    assert runs.request_cancel(run.id) == run.ended(outcome, NOON)
    assert runs.request_cancel(build_run().id) is None


@pytest.mark.parametrize("how", ["ended", "taken over", "deleted"])
def test_renewing_a_lost_run_fails(runs: RunStore, how: str) -> None:
    run = build_run()
    if how != "deleted":
        runs.open(run)
    if how == "ended":
        runs.end(run.id, build_outcome("x"), at=NOON)
    if how == "taken over":
        assert runs.take_over(run.id, now=NOON + timedelta(seconds=RUN_LEASE_SECONDS + 1))
    with pytest.raises(LeaseLost):
        runs.renew(run.id, now=NOON, spend=Spend())
    with pytest.raises(LeaseLost):
        runs.is_cancelled(run.id)


def test_renewing_never_creates_a_run(runs: RunStore) -> None:
    run = build_run()
    with pytest.raises(LeaseLost):
        runs.renew(run.id, now=NOON, spend=Spend())
    assert runs.get(run.id) is None


def open_several(tenant_env: TenantEnv, owners: list[str]) -> list[Run]:
    session = mint_session_id(NOON)
    opened = []
    for number, owner in enumerate(owners):
        run = build_run(session, at=NOON + timedelta(seconds=number), owner=owner)
        tenant_env.runs().open(run)
        opened.append(run)
    return opened


def ids(runs: list[Run]) -> list[RunId]:
    return [run.id for run in runs]


def test_lists_are_newest_first(runs: RunStore, tenant_env: TenantEnv) -> None:
    opened = open_several(tenant_env, [OWNER, OTHER_OWNER, OWNER])
    newest_first = ids(opened)[::-1]
    assert ids(runs.list_all(PageRequest()).items) == newest_first
    assert ids(runs.list_by_owner(OWNER, PageRequest()).items) == [newest_first[0], newest_first[2]]
    session = opened[0].session_id
    assert ids(runs.list_by_session(session, PageRequest(), newest_first=True).items) == newest_first
    assert ids(runs.list_by_session(session, PageRequest(), newest_first=False).items) == newest_first[::-1]
    assert tenant_env.runs(OTHER_TENANT).list_all(PageRequest()).items == []


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_lists_in_pages(runs: RunStore, tenant_env: TenantEnv, limit: int) -> None:
    opened = open_several(tenant_env, [OWNER] * 3)
    found: list[RunId] = []
    page = runs.list_all(PageRequest(limit))
    while True:
        found += ids(page.items)
        if page.position is None:
            break
        page = runs.list_all(PageRequest(limit, page.position))
    assert found == ids(opened)[::-1]


def test_omits_a_run_whose_blobs_are_being_deleted(runs: RunStore, tenant_env: TenantEnv) -> None:
    kept, removed = build_run(), build_run(question=noise(60_000))
    runs.open(kept)
    runs.open(removed)
    for path in tenant_env.blobs():
        tenant_env.bucket.client.delete_object(Bucket=tenant_env.bucket.name, Key=path)
    assert runs.get(removed.id) is None
    assert ids(runs.list_all(PageRequest()).items) == [kept.id]


def test_lists_open_runs_of_all_tenants(tenant_env: TenantEnv) -> None:
    expected: set[object] = set()
    for tenant in (TENANT, OTHER_TENANT):
        for _ in range(12):
            run = build_run()
            tenant_env.runs(tenant).open(run)
            expected.add(OpenRun(tenant, run.id))
    assert set(list_swept(tenant_env.physical)) == expected


def test_common_operations_cost_one_call_each(runs: RunStore, tenant_env: TenantEnv) -> None:
    recorder = Recorder()
    run = build_run()
    with tenant_env.intercepted(recorder):
        runs.open(run)
        runs.get(run.id)
        runs.is_cancelled(run.id)
        runs.renew(run.id, now=NOON, spend=SPEND)
        runs.end(run.id, build_outcome("x"), at=NOON)
    assert recorder.operations == ["PutItem", "GetItem", "GetItem", "UpdateItem", "UpdateItem"]
