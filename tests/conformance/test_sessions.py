"""Deletions, restorations and forks of sessions that race with each other and with turns, on DynamoDB Local."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from threading import Barrier

import pytest
from atrium.agent.model import TurnRequest
from atrium.kernel.errors import Conflict, NotFound, SessionBusy
from atrium.kernel.ids import SessionId
from atrium.kernel.pagination import PageRequest
from atrium.llm.model import Text
from atrium.runs.model import Message
from atrium.sessions.forking import ABANDONED_SECONDS
from atrium.sessions.purge import purge_due
from atrium.storage.table import PhysicalTable

import functions.sessions.app
from tests.builders.gateway import KEY_ID, call_as, tenant_fields
from tests.builders.runtimes import build_runtime
from tests.builders.sessions import fork_session
from tests.builders.sweeping import sweep_sessions
from tests.builders.tenant_env import TenantEnv, open_tenant_env, session_id_of

ROUNDS = 20


@pytest.fixture
def env(dynamodb_table: PhysicalTable) -> Iterator[TenantEnv]:
    with open_tenant_env(dynamodb_table, on_moto=False) as env:
        yield env


def race(*acts: Callable[[], object]) -> list[object]:
    """Call all functions at the same time. Return their results."""
    together = Barrier(len(acts))

    def start(act: Callable[[], object]) -> object:
        together.wait()
        return act()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(start, acts))


def test_a_session_is_either_restored_or_removed(env: TenantEnv) -> None:
    """The clock of the sweeper is at the end of the window, and the clock of the caller is just before it."""
    service = env.session_service()
    for number in range(ROUNDS):
        session_id = session_id_of(env.talk("Hi" * 100))
        messages = env.messages_of(session_id)
        due = env.clock() + timedelta(days=1)
        service.delete(session_id, undelete_days=1)
        env.clock.now = due - timedelta(milliseconds=1)

        def restore(session_id: SessionId = session_id) -> bool:
            with suppress(NotFound):
                return service.restore(session_id).id == session_id
            return False

        def purge(session_id: SessionId = session_id, due: datetime = due) -> bool:
            return purge_due(env.sessions(), env.runs(), session_id, now=due)

        acts = [restore, purge, purge] if number % 2 else [purge, purge, restore]
        results = race(*acts)
        restored = env.sessions().get(session_id) is not None
        assert results[acts.index(restore)] == restored
        if restored:
            assert env.messages_of(session_id) == messages
        else:
            assert any(results)
            assert env.items(session_id) == []


def turns(env: TenantEnv, session_id: SessionId, count: int) -> None:
    """Send messages to a session. A turn is not started while the session is busy or deleted."""
    for number in range(count):
        with suppress(NotFound, SessionBusy):
            request = TurnRequest(message=(Text(f"message {number}"),), session_id=session_id)
            list(env.turns().begin(request).events())


def test_turns_and_deletions_leave_a_session_that_is_consistent(env: TenantEnv) -> None:
    session_id, service = session_id_of(env.talk()), env.session_service()

    def delete_and_restore() -> None:
        for _ in range(ROUNDS):
            with suppress(NotFound, Conflict):
                service.delete(session_id, undelete_days=1)
            with suppress(NotFound, Conflict):
                service.restore(session_id)

    race(lambda: turns(env, session_id, 15), lambda: turns(env, session_id, 15), delete_and_restore)
    with suppress(Conflict):
        service.restore(session_id)
    session, messages = service.get(session_id), env.messages_of(session_id)
    runs = env.runs().list_by_session(session_id, PageRequest(100), newest_first=False).items
    assert session.turn is None
    assert not [run for run in runs if run.is_open]
    assert (session.message_count, session.turn_count) == (len(messages), len(runs))
    assert sum(day.requests for day in session.usage.values()) == len(runs)
    assert [env.entry_of(run.id).status for run in runs] == [run.status for run in runs]
    assert [each.id for each in service.list(PageRequest()).items] == [session_id]


def test_a_permanent_deletion_leaves_nothing_whatever_turns_and_forks_do(env: TenantEnv) -> None:
    service = env.session_service()
    for _ in range(6):
        session_id = session_id_of(env.talk())

        def fork(session_id: SessionId = session_id) -> SessionId | None:
            with suppress(NotFound):
                return fork_session(service, session_id).id
            return None

        delete = partial(service.delete, session_id, undelete_days=0)
        made, *_ = race(fork, delete, partial(turns, env, session_id, 3))
        env.clock.advance(ABANDONED_SECONDS + 60)
        sweep_sessions(env)
        env.sweep()
        if made is not None:
            fork_id = SessionId(str(made))
            assert len(env.messages_of(fork_id)) % 2 == 0
            service.delete(fork_id, undelete_days=0)
        assert env.items("SESSION#") == []


def test_forks_of_a_session_with_turns_have_whole_turns(env: TenantEnv) -> None:
    session_id, service = session_id_of(env.talk()), env.session_service()
    forks: list[tuple[SessionId, list[Message]]] = []

    def fork() -> None:
        for _ in range(8):
            made = fork_session(service, session_id)
            forks.append((made.id, env.messages_of(made.id)))

    race(lambda: turns(env, session_id, 15), fork, fork)
    history = env.messages_of(session_id)
    for fork_id, messages in forks:
        assert len(messages) % 2 == 0
        assert messages == history[: len(messages)]
        session = service.get(fork_id)
        assert (session.message_count, session.turn_count) == (len(messages), len(messages) // 2)
    chosen = random.Random(3).choice(forks)[0]
    turns(env, chosen, 1)
    assert service.get(chosen).message_count == len(env.messages_of(chosen))
    assert sweep_sessions(env).removed == 0


def test_forks_with_one_idempotency_key_make_one_session(env: TenantEnv) -> None:
    session_id = session_id_of(env.talk())
    runtime = build_runtime(table=env.physical, clock=env.clock)()
    runtime.__dict__["bucket"] = env.bucket
    app = functions.sessions.app.build(lambda: runtime)
    fields = tenant_fields(principal_id=KEY_ID, scopes="sessions:read sessions:write")

    def fork() -> tuple[int, str]:
        headers = {"idempotency-key": "one"}
        answer = call_as(app, fields).post(f"/v1/sessions/{session_id}/fork", json={}, headers=headers)
        return answer.status_code, answer.json().get("id") or answer.json()["code"]

    answers = race(*[fork] * 6)
    made = {each for each in answers if each != (409, "IDEMPOTENCY_IN_PROGRESS")}
    assert len(made) == 1
    assert fork() in made
    assert len(env.session_service().list(PageRequest()).items) == 2
