"""The erasure of a tenant, with interruptions and concurrent activity."""

import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from atrium.erasure import erasers
from atrium.erasure.service import QUIET_SECONDS, ErasureReport
from atrium.kernel.errors import NotFound
from atrium.kernel.ids import RunId
from atrium.storage import keys, usage_keys
from atrium.storage.blobs import TenantBlobs
from atrium.storage.keys import Key
from atrium.storage.table import PlatformTable
from atrium.storage.writes import NEW, Put
from atrium.tenants.deletions import OWN_SECONDS, Deletions, Progress
from atrium.usage.model import Arrival
from atrium.usage.store import encode_entry, ledger_key
from atrium.usage.sums import SumStore

from tests.builders.archives import archive
from tests.builders.erasing import Erasing, assert_erased
from tests.builders.ledger import build_entry
from tests.builders.tenant_env import OTHER_TENANT, TENANT, TenantEnv, context_of
from tests.builders.wires import Kill, Killed, Send


def noise(seed: int) -> str:
    """Return text that cannot be compressed to less than 32 kB."""
    draw = random.Random(seed)
    return "".join(chr(draw.randrange(0x4E00, 0x9FFF)) for _ in range(30_000))


def delete(erasing: Erasing) -> None:
    erasing.erasure.tenants.delete(TENANT)
    erasing.clock.advance(OWN_SECONDS)


def test_killed_after_every_call_it_goes_on(tenant_env: TenantEnv, shaped: Erasing) -> None:
    """Each step is killed after its first call, then after its second call, and so on, until the step completes."""
    for tenant in (TENANT, OTHER_TENANT):
        TenantBlobs(tenant_env.bucket, tenant).put("runs/r/question", b"text")
    others, killed, calls, last = shaped.items_about(OTHER_TENANT), 0, 0, Progress(passes=-1)
    delete(shaped)
    deletions = Deletions(PlatformTable(shaped.physical))
    while (deletion := deletions.find(TENANT)) is not None:
        calls, last = 0 if deletion.progress != last else calls + 1, deletion.progress
        try:
            with tenant_env.intercepted(Kill(calls, applied=True)):
                report = shaped.sweep(partial(next, iter([True]), False))
        except Killed:
            killed += 1
        else:
            shaped.clock.advance(QUIET_SECONDS if report.waiting else 0)
    assert (last.is_last, killed > 100, shaped.failed) == (True, True, [])
    totals = assert_erased(shaped, TENANT)
    assert totals["2026-11"]["requests"] == {"N": "1"}
    assert shaped.items_about(OTHER_TENANT) == others
    assert {blob.split("/")[1] for blob in shaped.blobs()} == {OTHER_TENANT}


def test_a_tenant_that_has_worked_leaves_its_totals(tenant_env: TenantEnv, erasing: Erasing) -> None:
    for message in ("Hi", noise(1)):
        tenant_env.talk(message)
        tenant_env.talk(message, context=context_of(tenant=OTHER_TENANT))
    assert [blob for blob in erasing.blobs() if TENANT in blob]
    delete(erasing)
    erasing.finish()
    totals = assert_erased(erasing, TENANT)
    assert totals["2026-11"]["requests"] == {"N": "2"}
    assert [blob for blob in erasing.blobs() if OTHER_TENANT in blob]


def test_archived_sessions_are_erased(tenant_env: TenantEnv, erasing: Erasing) -> None:
    for tenant in (TENANT, OTHER_TENANT):
        tenant_env.talk(context=context_of(tenant=tenant))
    for tenant in (TENANT, OTHER_TENANT):
        assert archive(tenant_env, tenant).segments == 1
    delete(erasing)
    erasing.finish()
    assert_erased(erasing, TENANT)
    assert [blob.split("/")[1] for blob in erasing.blobs()] == [OTHER_TENANT]


def test_a_turn_that_runs_is_stopped_and_leaves_only_its_cost(tenant_env: TenantEnv, erasing: Erasing) -> None:
    swept: list[ErasureReport] = []

    def erase() -> None:
        delete(erasing)
        swept.append(erasing.sweep())

    tenant_env.model.say("One, ", erase, lambda: turn.signal.wait(60), "two, ", "three.")
    turn = tenant_env.begin(noise(2))
    turn.heartbeat.poll_seconds = 0.01
    events = list(turn.events())
    assert swept == [ErasureReport(waiting=1)]
    run = tenant_env.run_of(events)  # the first pass left the run to its worker
    assert (run.status, erasing.failed) == ("cancelled", [])
    cost = tenant_env.entry_of(run.id).cost_nanos
    erasing.clock.advance(QUIET_SECONDS)
    erasing.sweep()
    totals = assert_erased(erasing, TENANT)
    assert totals["2026-11"]["cost_nanos"] == {"N": str(cost)}
    assert cost > 0


def test_a_turn_whose_function_died_is_closed_and_erased(tenant_env: TenantEnv, erasing: Erasing) -> None:
    tenant_env.begin(noise(3))
    delete(erasing)
    erasing.sweep()
    assert erasing.items_about("SESSION#")
    erasing.clock.advance(120)
    assert tenant_env.sweep().closed == 1
    erasing.finish()
    assert_erased(erasing, TENANT)


def test_a_turn_that_was_never_closed_is_erased_in_the_end(tenant_env: TenantEnv, erasing: Erasing) -> None:
    tenant_env.begin(noise(4))
    delete(erasing)
    erasing.finish()
    assert_erased(erasing, TENANT)
    tenant_env.sweep()
    assert_erased(erasing, TENANT)


def test_a_worker_that_lost_its_run_to_the_erasure_leaves_nothing(tenant_env: TenantEnv, erasing: Erasing) -> None:
    """The turn starts before the deletion. Its session, run and admission items are erased while it is running."""
    late = delete_between_passes(tenant_env, erasing)
    tenant_env.model.say("One, ", late, "two, ", lambda: tenant_env.clock.advance(10), "three.")
    list(tenant_env.begin().events())
    erasing.finish()
    assert_erased(erasing, TENANT)


def delete_between_passes(tenant_env: TenantEnv, erasing: Erasing) -> Callable[[], None]:
    """Return a function that deletes the tenant, runs a sweep, and erases the session, run and admission items."""

    def act() -> None:
        delete(erasing)
        erasing.sweep()
        table = tenant_env.table()
        for pk, sk in erasing.items_about(TENANT):
            prefix = f"TENANT#{TENANT}#"
            if pk.startswith((f"{prefix}SESSION#", f"{prefix}RUN#", f"{prefix}ADMISSION")):
                table.delete_all([Key(pk.removeprefix(prefix), sk)])

    return act


def test_no_turn_begins_in_a_deleted_tenant(tenant_env: TenantEnv, erasing: Erasing) -> None:
    delete(erasing)
    with pytest.raises(NotFound):
        tenant_env.begin()


def test_what_is_written_after_the_first_pass_goes_with_the_last(tenant_env: TenantEnv, erasing: Erasing) -> None:
    delete(erasing)
    erasing.sweep()
    entry = build_entry(at=erasing.clock())
    tenant_env.table().write(Put(ledger_key(entry.run_id), encode_entry(entry), NEW))
    SumStore(tenant_env.table()).count([Arrival(entry, "1")])
    tenant_env.table().write(Put(keys.events(RunId(entry.run_id), 2), {"batch": "x"}, NEW))
    erasing.finish()
    assert assert_erased(erasing, TENANT)["2026-11"]["requests"] == {"N": "1"}


def test_the_stream_that_brings_an_entry_late_writes_nothing(tenant_env: TenantEnv, erasing: Erasing) -> None:
    entry = build_entry(at=erasing.clock())
    tenant_env.table().write(Put(ledger_key(entry.run_id), encode_entry(entry), NEW))
    delete(erasing)
    erasing.finish()
    left = erasing.items()
    SumStore(tenant_env.table()).count([Arrival(entry, "1")])
    assert erasing.items() == left


def test_deleted_twice(shaped: Erasing) -> None:
    erasing = shaped
    delete(erasing)
    erasing.sweep()
    with pytest.raises(NotFound):
        erasing.erasure.tenants.delete(TENANT)
    erasing.finish()
    left = assert_erased(erasing, TENANT)
    with pytest.raises(NotFound):
        erasing.erasure.tenants.delete(TENANT)
    erasing.finish()
    assert assert_erased(erasing, TENANT) == left


def test_a_tenant_that_an_older_version_deleted_is_erased_by_the_same_call(
    tenant_env: TenantEnv, erasing: Erasing
) -> None:
    tenant_env.configure(status="deleted")
    with pytest.raises(NotFound):
        erasing.erasure.tenants.delete(TENANT)
    erasing.clock.advance(OWN_SECONDS)
    assert erasing.sweep() == ErasureReport(finished=1)
    assert_erased(erasing, TENANT)


def fill(erasing: Erasing, partition: str, count: int) -> None:
    client, name = erasing.physical.client, erasing.physical.name
    for first in range(0, count, 25):
        items = [{"pk": {"S": partition}, "sk": {"S": f"{at:05}"}} for at in range(first, first + 25)]
        client.batch_write_item(RequestItems={name: [{"PutRequest": {"Item": item}} for item in items]})


def test_three_thousand_items_take_several_sweeps(erasing: Erasing) -> None:
    for day in ("2026-11-18", "2026-11-19", "2026-11-20", "2026-11-21"):
        fill(erasing, f"TENANT#{TENANT}#{usage_keys.usage_day(day)}", 500)
    fill(erasing, f"TENANT#{TENANT}#IDEMPOTENCY", 500)
    fill(erasing, f"TENANT#{TENANT}#OAUTH_STATES", 500)
    delete(erasing)
    sweeps, report = 0, ErasureReport(left=1)
    while report.left:
        report = erasing.sweep(partial(next, iter([True] * 10), False))
        sweeps += 1
    assert (report, sweeps > 4) == (ErasureReport(waiting=1), True)
    erasing.clock.advance(QUIET_SECONDS)
    erasing.sweep()
    assert_erased(erasing, TENANT)


def test_two_tenants_are_erased_in_turn(erasing: Erasing) -> None:
    for tenant in (TENANT, OTHER_TENANT):
        erasing.erasure.tenants.delete(tenant)
        fill(erasing, f"TENANT#{tenant}#IDEMPOTENCY", 500)
    erasing.clock.advance(OWN_SECONDS)
    time = iter([True] * 12)
    erasing.sweep(lambda: next(time, False))
    left = [len([place for place in erasing.items() if place[0] == f"TENANT#{each}#IDEMPOTENCY"]) for each in
            (TENANT, OTHER_TENANT)]  # fmt: skip
    assert abs(left[0] - left[1]) <= 100
    assert max(left) < 500


def test_a_long_session_takes_several_steps(
    tenant_env: TenantEnv, erasing: Erasing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasers, "PAGE", 2)
    events = tenant_env.talk("Hi")
    for _ in range(4):
        events = tenant_env.talk("again", session_id=str(events[0].data["session_id"]))
    delete(erasing)
    erasing.finish()
    assert_erased(erasing, TENANT)


def unprocessed_once() -> Callable[[str, dict[str, Any], Send], Any]:
    """Return an interceptor that returns the first request of each batch as unprocessed, once."""
    met: set[str] = set()

    def leave(operation: str, arguments: dict[str, Any], send: Send) -> Any:
        if operation != "BatchWriteItem":
            return send()
        ((name, requests),) = arguments["RequestItems"].items()
        first = json.dumps(requests[0], sort_keys=True)
        if first in met:
            return send()
        met.add(first)
        arguments["RequestItems"] = {name: requests[1:]}
        if requests[1:]:
            send()
        return {"UnprocessedItems": {name: requests[:1]}}

    return leave


def test_what_a_batch_left_undone_is_done_again(tenant_env: TenantEnv, shaped: Erasing) -> None:
    delete(shaped)
    with tenant_env.intercepted(unprocessed_once()):
        shaped.finish()
    assert shaped.failed == []
    assert_erased(shaped, TENANT)


def test_a_blob_that_could_not_be_deleted_is_met_again(tenant_env: TenantEnv, erasing: Erasing) -> None:
    TenantBlobs(tenant_env.bucket, TENANT).put("runs/r/question", b"text")

    def refuse(operation: str, arguments: dict[str, Any], send: Send) -> Any:
        if operation != "DeleteObjects":
            return send()
        return {"Errors": [{"Key": arguments["Delete"]["Objects"][0]["Key"], "Code": "InternalError"}]}

    delete(erasing)
    with tenant_env.intercepted(refuse):
        assert erasing.sweep() == ErasureReport(failed=1)
    assert erasing.failed == [TENANT]
    erasing.finish()
    assert_erased(erasing, TENANT)


@pytest.fixture
def versioned(tenant_env: TenantEnv) -> None:
    status: Any = {"Status": "Enabled"}
    tenant_env.bucket.client.put_bucket_versioning(Bucket="blobs", VersioningConfiguration=status)


@pytest.mark.usefixtures("versioned")
def test_all_versions_and_delete_markers_go(tenant_env: TenantEnv, erasing: Erasing) -> None:
    for tenant in (TENANT, OTHER_TENANT):
        blobs = TenantBlobs(tenant_env.bucket, tenant)
        for text in (b"one", b"two"):
            blobs.put("runs/r/question", text)
        blobs.delete("runs/r/question")
        blobs.put("runs/s/question", b"three")
    assert len(erasing.blobs()) == 8
    delete(erasing)
    erasing.finish()
    assert_erased(erasing, TENANT)
    assert len(erasing.blobs()) == 4


def test_a_session_whose_deletion_broke_off_is_erased(tenant_env: TenantEnv, erasing: Erasing) -> None:
    session_id = tenant_env.open_session()
    tenant_env.sessions().mark_deleted(session_id, now=erasing.clock())
    delete(erasing)
    erasing.finish()
    assert_erased(erasing, TENANT)
