"""The archiver moves the runs of idle sessions to S3, and callers see no difference."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from atrium.kernel.ids import SessionId
from atrium.kernel.pagination import PageRequest
from atrium.quotas.model import SLOT_LEASE_SECONDS
from atrium.runs.segments import SEGMENT_BYTES_MAX, SegmentDamaged
from atrium.sessions.archiving import MERGED_RUNS_MAX, Archived
from atrium.sessions.finalizing import APPROVAL_SECONDS
from atrium.sessions.store import LISTED_INTERVAL
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update

from tests.builders.archives import (
    IDLE,
    add_run,
    add_session,
    archive,
    archiver,
    fill,
    hot_runs,
    next_messages,
    seen,
    segments_of,
)
from tests.builders.records import build_message
from tests.builders.tenant_env import ADMIN, OTHER_TENANT, TENANT, TenantEnv, run_id_of, session_id_of
from tests.builders.wires import Recorder, Send


def noise(seed: int, size: int) -> str:
    """Return text that is `size` bytes long when it is compressed."""
    return random.Random(seed).randbytes(size).hex()


def test_callers_see_no_difference(tenant_env: TenantEnv) -> None:
    events = tenant_env.talk("Hi", metadata={"deep": [1.0, None, "ü"]}, end_user="ann")
    session_id = session_id_of(events)
    tenant_env.talk("again", session_id=session_id)
    before = seen(tenant_env, session_id)
    report = archive(tenant_env)
    assert (report.runs, report.segments, hot_runs(tenant_env, session_id)) == (2, 1, [])
    assert seen(tenant_env, session_id) == before
    tenant_env.talk("third", session_id=session_id)
    before = seen(tenant_env, session_id)
    assert archive(tenant_env).runs == 1
    assert seen(tenant_env, session_id) == before
    assert archive(tenant_env) == Archived()


def test_only_the_new_turn_of_an_archived_session_is_in_the_table(tenant_env: TenantEnv) -> None:
    session_id = fill(tenant_env)
    archive(tenant_env)
    recorder = Recorder()
    with tenant_env.intercepted(recorder):
        events = tenant_env.talk("again", session_id=session_id)
    assert recorder.operations.count("GetObject") == 1
    assert recorder.operations.count("PutObject") == 0
    asked = [message.content for message in tenant_env.model.requests[-1].messages]
    assert len(asked) == 7
    assert hot_runs(tenant_env, session_id) == [run_id_of(events)]


def test_lists_read_no_segment(tenant_env: TenantEnv) -> None:
    fill(tenant_env)
    archive(tenant_env)
    recorder = Recorder()
    with tenant_env.intercepted(recorder):
        tenant_env.run_service().list(PageRequest(100), session_id=None, status=None)
        tenant_env.run_service(ADMIN).list(PageRequest(100), session_id=None, status=None)
        tenant_env.session_service().list(PageRequest(100))
    assert set(recorder.operations) == {"Query", "BatchGetItem"}


def test_a_session_is_archived_after_the_idle_time(tenant_env: TenantEnv) -> None:
    session_id = session_id_of(tenant_env.talk("Hi"))
    tenant_env.clock.now += LISTED_INTERVAL - timedelta(seconds=5)
    tenant_env.talk("again", session_id=session_id)  # does not move the session's place
    tenant_env.clock.now += IDLE
    assert archiver(tenant_env).step() == Archived()
    tenant_env.clock.now += timedelta(seconds=6)
    assert archiver(tenant_env).step().runs == 2


def test_an_open_run_stays_and_is_archived_after_it_ended(tenant_env: TenantEnv) -> None:
    session_id = session_id_of(tenant_env.talk("Hi"))
    hot: list[str] = []

    def wait() -> None:
        archive(tenant_env)
        hot.extend(hot_runs(tenant_env, session_id))

    tenant_env.model.say("One, ", wait, "two")
    events = tenant_env.talk("long", session_id=session_id)
    assert hot == [run_id_of(events)]
    assert tenant_env.run_of(events).status == "succeeded"
    assert archive(tenant_env).runs == 1
    assert hot_runs(tenant_env, session_id) == []


def test_a_run_whose_worker_died_is_archived_after_it_was_closed(tenant_env: TenantEnv) -> None:
    run = tenant_env.begin().run
    assert archive(tenant_env) == Archived()
    assert tenant_env.clock() - run.started_at > timedelta(seconds=SLOT_LEASE_SECONDS)
    assert tenant_env.sweep().closed == 1
    assert archive(tenant_env).runs == 1
    assert timedelta(seconds=APPROVAL_SECONDS) > IDLE


def test_large_payloads_stay_where_they_are(tenant_env: TenantEnv) -> None:
    session_id = add_session(tenant_env)
    add_run(tenant_env, session_id, build_message("assistant", noise(1, 40_000)), question=noise(2, 40_000))
    add_run(tenant_env, session_id, build_message("assistant", noise(3, 40_000)), metadata={"a": 1})
    before, blobs = seen(tenant_env, session_id), set(tenant_env.blobs())
    assert archive(tenant_env).runs == 1
    assert seen(tenant_env, session_id) == before
    assert blobs < set(tenant_env.blobs())


def test_a_long_session_is_read_in_part(tenant_env: TenantEnv) -> None:
    session_id = add_session(tenant_env)
    for number in range(24):
        add_run(tenant_env, session_id, build_message("assistant", noise(number, 24_000)))
    before = seen(tenant_env, session_id)
    report = archive(tenant_env)
    assert report.runs == 24
    assert report.bytes > 2 * SEGMENT_BYTES_MAX
    assert seen(tenant_env, session_id) == before
    assert max(len(tenant_env.runs().blobs.get(name)) for name in segments_of(tenant_env, session_id)) < 300_000
    recorder = Recorder()
    with tenant_env.intercepted(recorder):
        next_messages(tenant_env, session_id)
    assert recorder.operations.count("GetObject") <= 2


def test_a_session_that_is_archived_often_has_few_segments(tenant_env: TenantEnv) -> None:
    session_id = add_session(tenant_env)
    for number in range(2 * MERGED_RUNS_MAX):
        run_id = add_run(tenant_env, session_id, question=str(number)).id
        tenant_env.sessions().open_turn(read(tenant_env, session_id), run_id, now=tenant_env.clock())
        tenant_env.sessions().drop_turn(session_id, run_id)
        assert archive(tenant_env).runs == 1
    assert [len(message.content) for message in next_messages(tenant_env, session_id)] == [1] * 4 * MERGED_RUNS_MAX
    assert len(segments_of(tenant_env, session_id)) == 2


def read(tenant_env: TenantEnv, session_id: SessionId) -> Any:
    return tenant_env.sessions().get(session_id)


def run_of(tenant_env: TenantEnv, session_id: SessionId) -> Any:
    return tenant_env.runs().list_by_session(session_id, PageRequest(1), newest_first=True).items[0].id


def test_a_reader_that_read_before_a_merge_finds_the_merged_segment(tenant_env: TenantEnv) -> None:
    session_id = session_id_of(tenant_env.talk("Hi"))
    archive(tenant_env)
    tenant_env.talk("again", session_id=session_id)
    before, merged = seen(tenant_env, session_id), list[Archived]()

    def merge(operation: str, _arguments: object, send: Send) -> Any:
        if operation == "GetObject" and not merged:
            merged.append(Archived())
            merged.append(archive(tenant_env))
        return send()

    for name in ("one by one", "runs", "request", "messages"):
        with tenant_env.intercepted(merge):
            assert seen(tenant_env, session_id)[name] == before[name]
    assert merged[1].runs == 1
    assert len(segments_of(tenant_env, session_id)) == 1


def test_content_that_cannot_be_read_does_not_stop_other_sessions(tenant_env: TenantEnv) -> None:
    broken, whole = fill(tenant_env), fill(tenant_env)
    run_id = run_of(tenant_env, broken)
    tenant_env.table().write(Update(keys.run(run_id), "SET #question = :broken", EXISTS, {"broken": b"x"}))
    assert archive(tenant_env).runs == 3
    assert (len(hot_runs(tenant_env, broken)), hot_runs(tenant_env, whole), len(tenant_env.defects)) == (3, [], 1)
    assert segments_of(tenant_env, broken) == []


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: raw + b"x", lambda _: b"", lambda _: b"{}\n"])
def test_a_damaged_segment_is_detected(tenant_env: TenantEnv, damage: Callable[[bytes], bytes]) -> None:
    session_id = fill(tenant_env, 1)
    archive(tenant_env)
    (name,), blobs = segments_of(tenant_env, session_id), tenant_env.runs().blobs
    blobs.put(name, damage(blobs.get(name)))
    with pytest.raises(SegmentDamaged):
        tenant_env.runs().get(run_of_item(tenant_env, session_id))
    with pytest.raises(SegmentDamaged):
        tenant_env.begin("again", session_id=session_id)
    assert tenant_env.sessions().get(session_id) is not None


def run_of_item(tenant_env: TenantEnv, session_id: SessionId) -> Any:
    return next(item["id"]["S"] for item in tenant_env.items(session_id) if item["sk"]["S"].startswith("RUN#"))


def test_deletes_the_segments_with_the_session(tenant_env: TenantEnv) -> None:
    kept, session_id = fill(tenant_env), fill(tenant_env)
    archive(tenant_env)
    before = seen(tenant_env, kept)
    assert len(tenant_env.blobs()) == 2
    tenant_env.session_service().delete(session_id, undelete_days=0)
    assert tenant_env.items(session_id) == []
    assert segments_of(tenant_env, kept) == [name.partition(f"{TENANT}/")[2] for name in tenant_env.blobs()]
    assert seen(tenant_env, kept) == before


def test_nothing_of_a_deleted_tenant_is_archived(tenant_env: TenantEnv) -> None:
    fill(tenant_env)
    tenant_env.configure(status="deleted")
    recorder = Recorder()
    with tenant_env.intercepted(recorder):
        assert archive(tenant_env) == Archived()
    assert recorder.operations == ["BatchGetItem"]


def test_another_tenant_is_not_touched(tenant_env: TenantEnv) -> None:
    fill(tenant_env)
    archive(tenant_env)
    assert not [item for item in tenant_env.items(OTHER_TENANT) if "ARCHIVE" in str(item)]
    assert archive(tenant_env, OTHER_TENANT) == Archived()


def test_a_missing_segment_of_a_living_session_is_not_taken_for_a_deletion(tenant_env: TenantEnv) -> None:
    session_id = fill(tenant_env)
    archive(tenant_env)
    for name in tenant_env.blobs():
        tenant_env.bucket.client.delete_object(Bucket=tenant_env.bucket.name, Key=name)
    with pytest.raises(SegmentDamaged):
        seen(tenant_env, session_id)
