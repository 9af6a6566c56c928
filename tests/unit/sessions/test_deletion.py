"""A deleted session cannot be found, and all its data is deleted, even after interruptions."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from atrium.kernel.errors import NotFound, Unavailable
from atrium.kernel.ids import SessionId
from atrium.kernel.pagination import PageRequest
from atrium.runs.store import EventLog

from tests.builders.records import build_events, build_outcome, build_run
from tests.builders.runtimes import NOON
from tests.builders.tenant_env import ADMIN, TenantEnv, session_id_of
from tests.builders.wires import Kill, Killed, Outage, Recorder, Send


def noise(seed: int) -> str:
    """Return text that cannot be compressed to less than 32 kB."""
    return random.Random(seed).randbytes(40_000).hex()


def fill(tenant_env: TenantEnv) -> SessionId:
    """Create a session with two turns, batches of events, and blobs for a question, an outcome and a batch."""
    session_id = tenant_env.open_session()
    runs = tenant_env.runs()
    run = build_run(session_id, question=noise(1))
    runs.open(run)
    log = EventLog(runs, tenant_env.clock, run.id, tenant_env.clock())
    for event in [*build_events(2, 2), *build_events(3, 3, noise(2))]:
        tenant_env.clock.advance(3)
        log.append(event)
    runs.end(run.id, build_outcome(noise(3)), at=NOON)
    runs.open(build_run(session_id, at=tenant_env.clock()))
    return session_id


def assert_without_a_trace(tenant_env: TenantEnv, session_id: SessionId) -> None:
    assert tenant_env.items("SESSION#") == []
    assert tenant_env.items("RUN#") == []
    assert tenant_env.blobs() == []
    with pytest.raises(NotFound):
        tenant_env.session_service().delete(session_id, undelete_days=0)


def test_deletes_everything(tenant_env: TenantEnv) -> None:
    session_id = fill(tenant_env)
    assert len(tenant_env.blobs()) == 3
    tenant_env.session_service().delete(session_id, undelete_days=0)
    assert_without_a_trace(tenant_env, session_id)


def test_keeps_other_sessions(tenant_env: TenantEnv) -> None:
    kept = fill(tenant_env)
    before = tenant_env.items(kept), tenant_env.messages_of(kept)
    blobs = set(tenant_env.blobs())
    tenant_env.session_service().delete(fill(tenant_env), undelete_days=0)
    assert (tenant_env.items(kept), tenant_env.messages_of(kept)) == before
    assert set(tenant_env.blobs()) == blobs


def calls_of_a_deletion(tenant_env: TenantEnv) -> int:
    recorder = Recorder()
    session_id = fill(tenant_env)
    with tenant_env.intercepted(recorder):
        tenant_env.session_service().delete(session_id, undelete_days=0)
    return len(recorder.operations)


def test_the_next_attempt_completes_after_a_crash_at_any_call(tenant_env: TenantEnv) -> None:
    calls = calls_of_a_deletion(tenant_env)
    assert calls > 10
    for number in range(calls):
        session_id = fill(tenant_env)
        with tenant_env.intercepted(Kill(number, applied=True)), pytest.raises(Killed):
            tenant_env.session_service().delete(session_id, undelete_days=0)
        if tenant_env.sessions().get(session_id, with_deleted=True) is not None:
            tenant_env.session_service(ADMIN).delete(session_id, undelete_days=0)
        assert_without_a_trace(tenant_env, session_id)


def test_the_next_attempt_completes_after_a_failure_at_any_call(tenant_env: TenantEnv) -> None:
    for number in range(calls_of_a_deletion(tenant_env)):
        session_id = fill(tenant_env)
        with tenant_env.intercepted(Outage(at_call(number))), pytest.raises(Unavailable):
            tenant_env.session_service().delete(session_id, undelete_days=0)
        tenant_env.session_service().delete(session_id, undelete_days=0)
        assert_without_a_trace(tenant_env, session_id)


def at_call(number: int) -> Callable[[int, str], bool]:
    return lambda at, _: at == number


def test_a_session_is_not_found_during_its_deletion(tenant_env: TenantEnv) -> None:
    session_id = fill(tenant_env)
    with tenant_env.intercepted(Outage(lambda _, operation: operation == "Query")), pytest.raises(Unavailable):
        tenant_env.session_service().delete(session_id, undelete_days=0)
    service = tenant_env.session_service(ADMIN)
    with pytest.raises(NotFound):
        service.get(session_id)
    assert service.list(PageRequest()).items == []
    with pytest.raises(NotFound):
        service.list_messages(session_id, PageRequest())
    with pytest.raises(NotFound):
        tenant_env.begin("again", session_id=session_id)


def test_concurrent_deletions_both_complete(tenant_env: TenantEnv) -> None:
    session_id = fill(tenant_env)
    service = tenant_env.session_service()
    second: list[str] = []

    def delete_too(operation: str, _arguments: object, send: Send) -> Any:
        if operation == "Query" and not second:
            second.append("began")
            tenant_env.session_service().delete(session_id, undelete_days=0)
        return send()

    with tenant_env.intercepted(delete_too):
        service.delete(session_id, undelete_days=0)
    assert_without_a_trace(tenant_env, session_id)


def test_a_running_turn_leaves_only_its_ledger_entry(tenant_env: TenantEnv) -> None:
    tenant_env.model.say("One, ", lambda: tenant_env.session_service().delete(session_id, undelete_days=0), "two.")
    turn = tenant_env.begin()
    session_id = turn.run.session_id
    events = list(turn.events())
    assert events[-1].type == "error"
    assert events[-1].data["code"] == "NOT_FOUND"
    assert tenant_env.entry_of(turn.run.id).tokens.output_tokens == 20
    assert_without_a_trace(tenant_env, session_id)


def test_deletes_events_stored_after_the_deletion(tenant_env: TenantEnv) -> None:
    def delete() -> None:
        tenant_env.session_service().delete(session_id, undelete_days=0)
        tenant_env.clock.advance(10)

    tenant_env.model.say("One, ", delete, "two, ", "three.")
    turn = tenant_env.begin()
    session_id = turn.run.session_id
    list(turn.events())
    assert_without_a_trace(tenant_env, session_id)


def test_deletes_a_run_recorded_after_the_deletion(tenant_env: TenantEnv) -> None:
    """The session is deleted with its runs after the turn took the session and before the turn records its run."""
    session_id = session_id_of(tenant_env.talk())
    deleted: list[bool] = []

    def delete_first(operation: str, _arguments: object, send: Send) -> Any:
        if operation == "PutItem" and not deleted:
            deleted.append(True)
            tenant_env.session_service().delete(session_id, undelete_days=0)
        return send()

    tenant_env.clock.advance(1)
    with tenant_env.intercepted(delete_first):
        turn = tenant_env.begin("again", session_id=session_id)
    assert turn.run.id
    list(turn.events())
    assert deleted
    assert_without_a_trace(tenant_env, session_id)
    assert tenant_env.entry_of(turn.run.id).tokens.output_tokens == 20


def test_sweeps_a_dead_run_of_a_deleted_session(tenant_env: TenantEnv) -> None:
    session_id = session_id_of(tenant_env.talk())
    tenant_env.clock.advance(1)
    turn = tenant_env.begin("again", session_id=session_id)
    tenant_env.sessions().mark_deleted(session_id, now=tenant_env.clock())
    tenant_env.sessions().remove(session_id)
    tenant_env.clock.advance(100)
    assert tenant_env.sweep().closed == 1
    assert tenant_env.runs().get(turn.run.id) is None
    assert tenant_env.entry_of(turn.run.id).status == "failed"
