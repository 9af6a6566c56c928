"""A deleted session is invisible, can be restored exactly within its window, and is removed afterwards."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from atrium.kernel.errors import Conflict, NotFound
from atrium.kernel.ids import SessionId
from atrium.kernel.pagination import PageRequest
from atrium.sessions.retention import SessionSweep, SessionSweepReport
from atrium.storage.sweep import DueSession, list_due_sessions
from atrium.tenants.context import TenantContext

from tests.builders.sweeping import DAY_SECONDS, set_settings, sweep_sessions
from tests.builders.tenant_env import (
    ADMIN,
    OTHER_OWNER,
    OTHER_TENANT,
    TenantEnv,
    begin_again,
    context_of,
    head_of,
    session_id_of,
)
from tests.builders.wires import Kill, Killed, Send
from tests.unit.sessions.test_deletion import fill


def delete(tenant_env: TenantEnv, session_id: SessionId, days: int = 7) -> None:
    tenant_env.session_service().delete(session_id, undelete_days=days)


@pytest.mark.parametrize("context", [context_of(), ADMIN], ids=["owner", "admin"])
def test_nothing_of_a_deleted_session_can_be_seen(tenant_env: TenantEnv, context: TenantContext) -> None:
    events = tenant_env.talk()
    session_id, run_id = session_id_of(events), tenant_env.run_of(events).id
    delete(tenant_env, session_id)
    service, runs = tenant_env.session_service(context), tenant_env.run_service(context)
    for ask in (
        lambda: service.get(session_id),
        lambda: service.change(session_id, {"title": "x"}),
        lambda: service.list_messages(session_id, PageRequest()),
        lambda: service.delete(session_id, undelete_days=7),
        lambda: runs.get(run_id),
        lambda: runs.cancel(run_id),
        lambda: tenant_env.begin("again", session_id=session_id, context=context),
    ):
        with pytest.raises(NotFound):
            ask()
    assert service.list(PageRequest()).items == []
    assert runs.list(PageRequest(), session_id=None, status=None).items == []
    assert runs.list(PageRequest(), session_id=session_id, status=None).items == []


def test_a_restored_session_is_as_it_was(tenant_env: TenantEnv) -> None:
    session_id = fill(tenant_env)
    items, blobs = tenant_env.items(), tenant_env.blobs()
    delete(tenant_env, session_id)
    tenant_env.clock.advance(7 * DAY_SECONDS - 10)
    assert sweep_sessions(tenant_env) == SessionSweepReport()
    assert tenant_env.session_service().restore(session_id) == head_of(tenant_env, session_id)
    assert (tenant_env.items(), tenant_env.blobs()) == (items, blobs)
    assert [each.id for each in tenant_env.session_service().list(PageRequest()).items] == [session_id]
    tenant_env.clock.advance(DAY_SECONDS)
    assert sweep_sessions(tenant_env) == SessionSweepReport()
    assert (tenant_env.items(), tenant_env.blobs()) == (items, blobs)


def test_restores_only_what_is_deleted_and_for_whom_may_see_it(tenant_env: TenantEnv) -> None:
    session_id = fill(tenant_env)
    with pytest.raises(Conflict):
        tenant_env.session_service().restore(session_id)
    delete(tenant_env, session_id)
    for outsider in (context_of(OTHER_OWNER), context_of(tenant=OTHER_TENANT)):
        with pytest.raises(NotFound):
            tenant_env.session_service(outsider).restore(session_id)
    assert tenant_env.session_service(ADMIN).restore(session_id).id == session_id
    with pytest.raises(Conflict):
        tenant_env.session_service().restore(session_id)


def test_after_the_window_it_cannot_be_restored_and_is_removed(tenant_env: TenantEnv) -> None:
    session_id, kept = fill(tenant_env), fill(tenant_env)
    messages = tenant_env.messages_of(kept)
    delete(tenant_env, session_id)
    tenant_env.clock.advance(7 * DAY_SECONDS + 1)
    with pytest.raises(NotFound):
        tenant_env.session_service().restore(session_id)
    assert sweep_sessions(tenant_env) == SessionSweepReport(removed=1)
    assert tenant_env.items(session_id) == []
    assert tenant_env.messages_of(kept) == messages
    assert len(tenant_env.blobs()) == 3
    assert sweep_sessions(tenant_env) == SessionSweepReport()


def test_a_removal_that_is_killed_at_any_call_is_continued(tenant_env: TenantEnv) -> None:
    number, is_killed = 0, True
    while is_killed:
        session_id = fill(tenant_env)
        delete(tenant_env, session_id, days=1)
        tenant_env.clock.advance(DAY_SECONDS + 1)
        with tenant_env.intercepted(kill := Kill(number, applied=True)), suppress(Killed):
            sweep_sessions(tenant_env)
        is_killed, number = kill.died, number + 1
        tenant_env.clock.advance(60)
        sweep_sessions(tenant_env)
        assert tenant_env.items("SESSION#") == tenant_env.items("RUN#") == []
        assert tenant_env.blobs() == []
    assert number > 20


def test_a_permanent_deletion_that_is_killed_is_completed_by_the_sweeper(tenant_env: TenantEnv) -> None:
    for at in range(2, 12):
        session_id = fill(tenant_env)
        with tenant_env.intercepted(Kill(at, applied=True)), pytest.raises(Killed):
            delete(tenant_env, session_id, days=0)
        tenant_env.clock.advance(1)
        if tenant_env.sessions().get(session_id) is None:
            sweep_sessions(tenant_env)
        else:
            delete(tenant_env, session_id, days=0)
        assert tenant_env.items("SESSION#") == []
        assert tenant_env.blobs() == []


def test_a_deleted_session_can_be_deleted_permanently_by_its_owner_or_an_admin(tenant_env: TenantEnv) -> None:
    for context in (context_of(), ADMIN):
        session_id = fill(tenant_env)
        delete(tenant_env, session_id)
        with pytest.raises(NotFound):
            tenant_env.session_service(context_of(OTHER_OWNER)).delete(session_id, undelete_days=0)
        tenant_env.session_service(context).delete(session_id, undelete_days=0)
        assert tenant_env.items("SESSION#") == []
        with pytest.raises(NotFound):
            tenant_env.session_service(context).restore(session_id)


def test_a_turn_that_runs_is_cancelled_and_is_complete_after_the_restoration(tenant_env: TenantEnv) -> None:
    tenant_env.model.say("One, ", lambda: delete(tenant_env, session_id), lambda: turn.signal.wait(60), "two.")
    turn = tenant_env.begin()
    turn.heartbeat.poll_seconds = 0.01
    session_id = turn.run.session_id
    events = list(turn.events())
    assert events[-1].type == "final"
    run = tenant_env.run_of(events)
    assert run.status == "cancelled"
    restored = tenant_env.session_service().restore(session_id)
    assert (restored.turn, restored.message_count) == (None, len(run.messages))
    assert sum(each.requests for each in restored.usage.values()) == 1
    assert tenant_env.messages_of(session_id) == list(run.messages)
    list(begin_again(tenant_env, session_id).events())


def test_a_turn_that_starts_while_its_session_is_deleted_does_not_leave_it(tenant_env: TenantEnv) -> None:
    session_id = session_id_of(tenant_env.talk())
    done: list[bool] = []

    def delete_first(operation: str, _arguments: object, send: Send) -> Any:
        if operation == "PutItem" and not done:
            done.append(True)
            delete(tenant_env, session_id)
        return send()

    tenant_env.clock.advance(1)
    with tenant_env.intercepted(delete_first):
        turn = tenant_env.begin("again", session_id=session_id)
    list(turn.events())
    restored = tenant_env.session_service().restore(session_id)
    assert (restored.turn, restored.message_count) == (None, 4)


def test_a_dead_turn_of_a_deleted_session_is_closed_and_kept(tenant_env: TenantEnv) -> None:
    session_id = session_id_of(tenant_env.talk())
    tenant_env.clock.advance(1)
    run = tenant_env.begin("again", session_id=session_id).run
    delete(tenant_env, session_id)
    tenant_env.clock.advance(100)
    assert tenant_env.sweep().closed == 1
    assert tenant_env.entry_of(run.id).status == "cancelled"
    assert tenant_env.session_service().restore(session_id).turn is None
    assert [each.role for each in tenant_env.messages_of(session_id)] == ["user", "assistant", "user"]


def test_idle_sessions_are_deleted_if_the_tenant_wants_it(tenant_env: TenantEnv) -> None:
    set_settings(tenant_env, session_retention_days=30, undelete_days=2)
    old, other = fill(tenant_env), session_id_of(tenant_env.talk(context=context_of(tenant=OTHER_TENANT)))
    tenant_env.clock.advance(20 * DAY_SECONDS)
    young = session_id_of(tenant_env.talk())
    tenant_env.clock.advance(10 * DAY_SECONDS + 60)
    assert sweep_sessions(tenant_env) == SessionSweepReport(expired=1)
    assert [each.id for each in tenant_env.session_service().list(PageRequest()).items] == [young]
    assert head_of_other(tenant_env, other)
    assert tenant_env.session_service().restore(old).id == old
    assert sweep_sessions(tenant_env) == SessionSweepReport(expired=1)
    tenant_env.clock.advance(2 * DAY_SECONDS + 1)
    assert sweep_sessions(tenant_env) == SessionSweepReport(removed=1)
    assert tenant_env.items(old) == []
    set_settings(tenant_env)
    tenant_env.clock.advance(90 * DAY_SECONDS)
    assert sweep_sessions(tenant_env) == SessionSweepReport()


def head_of_other(tenant_env: TenantEnv, session_id: SessionId) -> bool:
    return tenant_env.sessions(OTHER_TENANT).get(session_id) is not None


def test_a_session_that_is_used_again_or_has_a_turn_does_not_expire(tenant_env: TenantEnv) -> None:
    session_id = session_id_of(tenant_env.talk())
    tenant_env.clock.advance(60)
    list(begin_again(tenant_env, session_id).events())  # the position in the lists stays
    store, active = tenant_env.sessions(), head_of(tenant_env, session_id).last_active_at
    now = tenant_env.clock()
    until = now + timedelta(days=7)
    assert store.hide(session_id, now=now, until=until, idle_since=active) is None
    turn = begin_again(tenant_env, session_id)
    late = now + timedelta(days=1)
    assert store.hide(session_id, now=now, until=until, idle_since=late) is None
    list(turn.events())
    assert store.hide(session_id, now=now, until=until, idle_since=late) is not None


def test_one_failure_does_not_stop_the_removal_of_other_sessions(tenant_env: TenantEnv) -> None:
    first, second = fill(tenant_env), fill(tenant_env)
    for session_id in (first, second):
        delete(tenant_env, session_id, days=1)
    tenant_env.clock.advance(DAY_SECONDS + 1)
    due = [DueSession(OTHER_TENANT, SessionId("no id")), *list_due_sessions(tenant_env.physical, tenant_env.clock())]
    failures: list[object] = []
    sweep = SessionSweep(tenant_env.runs, tenant_env.clock, lambda: True, lambda tenant, _: failures.append(tenant))
    assert sweep.run([DueSession(OTHER_TENANT, SessionId("a#b")), *due], ()) == SessionSweepReport(removed=3, failed=1)
    assert failures == [OTHER_TENANT]
    late = SessionSweep(tenant_env.runs, tenant_env.clock, lambda: False, lambda *_: None)
    assert late.run(due, [OTHER_TENANT]) == SessionSweepReport()
