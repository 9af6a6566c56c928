"""The archiver is killed, fails, or meets a turn, a deletion or another archiver at any of its calls."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import SessionId
from atrium.sessions.archiving import Archived

from tests.builders.archives import (
    IDLE_FOR,
    archive,
    archiver,
    fill,
    hot_runs,
    seen,
    segments_of,
    told,
)
from tests.builders.tenant_env import ADMIN, TenantEnv
from tests.builders.wires import Kill, Killed, Outage, Recorder, Send, intercepted, lose_replies


def two_sessions(tenant_env: TenantEnv) -> tuple[SessionId, SessionId]:
    """Return a session that was archived and has a new run, and a session that was not archived."""
    first = fill(tenant_env, 1)
    archive(tenant_env)
    tenant_env.talk("again", session_id=first)
    second = fill(tenant_env, 2)
    tenant_env.clock.now += IDLE_FOR
    return first, second


def calls_of(tenant_env: TenantEnv, act: Callable[[SessionId], object]) -> Iterator[tuple[int, SessionId, SessionId]]:
    """Yield the number of each call that `act` makes, with two new sessions. They are deleted afterwards.

    `act` gets the first of the sessions.
    """
    recorder = Recorder()
    first, second = two_sessions(tenant_env)
    with tenant_env.intercepted(recorder):
        act(first)
    for number in range(len(recorder.operations)):
        for session_id in (first, second):
            if tenant_env.sessions().get(session_id) is not None:
                tenant_env.session_service(ADMIN).delete(session_id, undelete_days=0)
        first, second = two_sessions(tenant_env)
        yield number, first, second


def at_call(number: int, act: Callable[[], object]) -> Callable[[str, dict[str, Any], Send], Any]:
    """Return an interceptor that calls `act` once, before call `number`."""
    count = [0]

    def intercept(_operation: str, _arguments: dict[str, Any], send: Send) -> Any:
        count[0] += 1
        if count[0] == number + 1:
            act()
        return send()

    return intercept


def is_call(number: int, at: int, _operation: str) -> bool:
    return at == number


def step(tenant_env: TenantEnv) -> Callable[..., Archived]:
    return lambda *_: archiver(tenant_env).step()


def assert_archived(tenant_env: TenantEnv, *sessions: SessionId) -> None:
    """Archive what is left, and assert that each session is archived in one segment and that nothing else is stored."""
    archive(tenant_env)
    for session_id in sessions:
        assert hot_runs(tenant_env, session_id) == []
        assert len(segments_of(tenant_env, session_id)) == 1
    assert len(tenant_env.blobs()) == len(sessions)


def test_nothing_is_lost_whatever_call_kills_the_archiver(tenant_env: TenantEnv) -> None:
    for number, *sessions in calls_of(tenant_env, step(tenant_env)):
        before = [told(tenant_env, session_id) for session_id in sessions]
        with tenant_env.intercepted(Kill(number, applied=True)), pytest.raises(Killed):
            step(tenant_env)()
        assert [told(tenant_env, session_id) for session_id in sessions] == before
        assert_archived(tenant_env, *sessions)
        assert [told(tenant_env, session_id) for session_id in sessions] == before


def test_nothing_is_left_of_a_session_that_is_deleted_after_the_archiver_was_killed(tenant_env: TenantEnv) -> None:
    for number, *sessions in calls_of(tenant_env, step(tenant_env)):
        with tenant_env.intercepted(Kill(number, applied=True)), pytest.raises(Killed):
            step(tenant_env)()
        for session_id in sessions:
            tenant_env.session_service().delete(session_id, undelete_days=0)
        archive(tenant_env)
        assert tenant_env.blobs() == []


def test_a_failed_call_is_repeated(tenant_env: TenantEnv) -> None:
    for number, *sessions in calls_of(tenant_env, step(tenant_env)):
        before = [told(tenant_env, session_id) for session_id in sessions]
        with tenant_env.intercepted(Outage(partial(is_call, number))), pytest.raises(Unavailable):
            step(tenant_env)()
        assert_archived(tenant_env, *sessions)
        assert [told(tenant_env, session_id) for session_id in sessions] == before


def test_lost_replies_change_nothing(tenant_env: TenantEnv) -> None:
    sessions = two_sessions(tenant_env)
    before = [seen(tenant_env, session_id) for session_id in sessions]
    with intercepted(tenant_env.physical.client, lose_replies):
        step(tenant_env)()
    assert_archived(tenant_env, *sessions)
    assert [seen(tenant_env, session_id) for session_id in sessions] == before


def test_a_second_archiver_at_any_call(tenant_env: TenantEnv) -> None:
    for number, *sessions in calls_of(tenant_env, step(tenant_env)):
        before = [told(tenant_env, session_id) for session_id in sessions]
        with tenant_env.intercepted(at_call(number, step(tenant_env))):
            step(tenant_env)()
        assert_archived(tenant_env, *sessions)
        assert [told(tenant_env, session_id) for session_id in sessions] == before


def test_a_turn_at_any_call_of_the_archiver(tenant_env: TenantEnv) -> None:
    for number, *sessions in calls_of(tenant_env, step(tenant_env)):
        before = [told(tenant_env, session_id) for session_id in sessions]

        with tenant_env.intercepted(at_call(number, partial(talk_in, tenant_env, sessions))):
            step(tenant_env)()
        after = [told(tenant_env, session_id) for session_id in sessions]
        assert [messages[:-2] for messages in after] == before
        assert_archived(tenant_env, *sessions)
        assert [told(tenant_env, session_id) for session_id in sessions] == after


def talk_in(tenant_env: TenantEnv, sessions: Sequence[SessionId]) -> None:
    for session_id in sessions:
        tenant_env.talk("meanwhile", session_id=session_id)


def test_the_archiver_at_any_call_of_a_turn(tenant_env: TenantEnv) -> None:
    for number, first, second in calls_of(tenant_env, lambda session_id: talk_in(tenant_env, [session_id])):
        before = seen(tenant_env, first)["messages"]
        with tenant_env.intercepted(at_call(number, step(tenant_env))):
            talk_in(tenant_env, [first])
        assert len(tenant_env.model.requests[-1].messages) == 5
        assert told(tenant_env, first)[:-2] == before
        assert_archived(tenant_env, first, second)


def test_a_deletion_at_any_call_of_the_archiver(tenant_env: TenantEnv) -> None:
    for number, first, second in calls_of(tenant_env, step(tenant_env)):
        delete = partial(tenant_env.session_service().delete, first, undelete_days=0)
        with tenant_env.intercepted(at_call(number, delete)):
            step(tenant_env)()
        assert_archived(tenant_env, second)
        assert [item for item in tenant_env.items(first) if "SESSION#" in str(item)] == []


@pytest.mark.parametrize("noted_until", ["PutItem", "PutObject", "UpdateItem"])
def test_the_archiver_goes_on_at_any_call_of_a_deletion(tenant_env: TenantEnv, noted_until: str) -> None:
    """The archiver has noted its moves before the deletion starts."""
    delete = partial(tenant_env.session_service().delete, undelete_days=0)
    for number, first, second in calls_of(tenant_env, delete):
        with suppress(Killed), tenant_env.intercepted(kill_after(noted_until)):
            step(tenant_env)()
        with tenant_env.intercepted(at_call(number, step(tenant_env))):
            delete(first)
        assert_archived(tenant_env, second)


def kill_after(name: str) -> Callable[[str, dict[str, Any], Send], Any]:
    """Return an interceptor that simulates a process that is killed after its first call of an operation."""

    def intercept(operation: str, _arguments: dict[str, Any], send: Send) -> Any:
        answer = send()
        if operation == name:
            raise Killed
        return answer

    return intercept
