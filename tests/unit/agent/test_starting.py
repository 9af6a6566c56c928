"""The start of a turn: which turn takes the session, which turn waits, and that a rejected turn writes nothing."""

from datetime import timedelta
from typing import Any

import pytest
from atrium.agent.model import RunLimits
from atrium.agent.starting import POLL_SECONDS
from atrium.agent.turn import Turn
from atrium.kernel.errors import SessionBusy, Unavailable
from atrium.kernel.ids import SessionId
from atrium.runs.model import RUN_LEASE_SECONDS
from atrium.sessions.finalizing import OPENING_GRACE_SECONDS

from tests.builders.tenant_env import (
    OTHER_OWNER,
    TenantEnv,
    begin_again,
    context_of,
    head_of,
    session_id_of,
    texts,
    types_of,
)
from tests.builders.wires import Kill, Killed, Outage, Recorder, Send


def begin_dead(tenant_env: TenantEnv, session_id: SessionId) -> Turn:
    """Start a turn that is never executed, as if its worker had been killed."""
    return begin_again(tenant_env, session_id)


def test_a_new_session_belongs_to_the_caller_and_has_a_title(tenant_env: TenantEnv) -> None:
    turn = tenant_env.begin("  A question\n that is   " + "long " * 40, context=context_of(OTHER_OWNER), end_user="ann")
    head = head_of(tenant_env, turn.run.session_id)
    assert (head.owner, head.end_user, head.agent_id, head.turn_count) == (OTHER_OWNER, "ann", None, 1)
    assert head.title.startswith("A question that is long long")
    assert len(head.title) <= 60
    assert head.turn.run_id == turn.run.id


@pytest.mark.parametrize("whole", ["👩\u200d👩\u200d👧", "e\u0301", "🇩🇪", "👍🏽"])
def test_does_not_cut_a_title_within_a_character(tenant_env: TenantEnv, whole: str) -> None:
    turn = tenant_env.begin("x" * 59 + whole + " and more")
    assert head_of(tenant_env, turn.run.session_id).title == "x" * 59


def test_a_title_has_no_invisible_characters(tenant_env: TenantEnv) -> None:
    turn = tenant_env.begin("\u202eA\u0007 sum\u200b of علی‌رضا")
    assert head_of(tenant_env, turn.run.session_id).title == "A sum of علی‌رضا"
    assert head_of(tenant_env, tenant_env.begin("\u200b").run.session_id).title is None


def test_a_session_keeps_the_named_agent(tenant_env: TenantEnv) -> None:
    agent = tenant_env.agents().create(
        {"name": "poet", "model": "claude-haiku-5-5", "system_prompt": "Rhyme."}, is_default=False
    )
    events = tenant_env.talk("Hi", agent_id=agent.agent.id)
    tenant_env.talk("again", session_id=session_id_of(events))
    assert [request.system for request in tenant_env.model.requests] == ["Rhyme.", "Rhyme."]


def test_rejects_one_of_two_concurrent_turns(tenant_env: TenantEnv, session_id: SessionId) -> None:
    first = begin_again(tenant_env, session_id)
    before = tenant_env.items()
    with pytest.raises(SessionBusy) as busy:
        begin_again(tenant_env, session_id)
    assert (busy.value.status, busy.value.retry_after_seconds) == (409, 1)
    assert tenant_env.items() == before, "nothing is written"
    assert types_of(list(first.events()))[-1] == "final"
    assert texts(tenant_env.messages_of(session_id)) == ["first", "Hello.", "again", "Hello."]


def test_a_queued_turn_starts_after_the_other_and_sees_its_answer(tenant_env: TenantEnv, session_id: SessionId) -> None:
    first = begin_again(tenant_env, session_id)
    waits: list[object] = []

    def wait() -> None:
        waits.append(None)
        if len(waits) == 3:
            tenant_env.model.say("From the first.")
            list(first.events())

    tenant_env.while_waiting = wait
    before = tenant_env.clock.now
    second = begin_again(tenant_env, session_id, on_busy="queue")
    assert len(waits) == 3
    assert tenant_env.clock.now - before == timedelta(seconds=1 + 3 * POLL_SECONDS)
    list(second.events())
    shown = [block.text for message in tenant_env.model.requests[-1].messages for block in message.content]  # type: ignore[union-attr]  # all are texts
    assert shown == ["first", "Hello.", "again", "From the first.", "again"]


def test_a_queued_turn_gives_up_at_its_time_limit(tenant_env: TenantEnv, session_id: SessionId) -> None:
    first = begin_again(tenant_env, session_id)
    tenant_env.while_waiting = lambda: tenant_env.runs().renew(
        first.run.id, now=tenant_env.clock(), spend=first.loop.spend
    )
    before = tenant_env.clock.now
    with pytest.raises(SessionBusy):
        begin_again(tenant_env, session_id, on_busy="queue", limits=RunLimits(max_seconds=7))
    assert tenant_env.clock.now - before == timedelta(seconds=8)
    list(first.events())
    assert texts(tenant_env.messages_of(session_id)) == ["first", "Hello.", "again", "Hello."]


def test_interrupt_cancels_the_other_turn_once_and_waits(tenant_env: TenantEnv, session_id: SessionId) -> None:
    tenant_env.model.say("One, ", lambda: first.signal.stop("cancelled"), "two")
    first = begin_again(tenant_env, session_id)
    asked: list[bool] = []

    def wait() -> None:
        asked.append(tenant_env.runs().is_cancelled(first.run.id))
        if len(asked) == 3:
            list(first.events())

    tenant_env.while_waiting = wait
    recorder = Recorder()
    with tenant_env.intercepted(recorder):
        second = begin_again(tenant_env, session_id, on_busy="interrupt")
    assert asked == [True] * 3
    cancels = [each for each in recorder.arguments if "#cancel" in str(each.get("UpdateExpression"))]
    assert len(cancels) == 1
    assert types_of(list(second.events()))[-1] == "final"
    assert texts(tenant_env.messages_of(session_id))[2:] == ["again", "One, ", "again", "Hello."]


@pytest.mark.parametrize("on_busy", ["reject", "queue", "interrupt"])
def test_takes_over_the_session_of_a_dead_turn(tenant_env: TenantEnv, session_id: SessionId, on_busy: Any) -> None:
    dead = begin_dead(tenant_env, session_id)
    tenant_env.clock.advance(RUN_LEASE_SECONDS + 2)
    turn = begin_again(tenant_env, session_id, on_busy=on_busy)
    closed = tenant_env.runs().get(dead.run.id)
    assert closed is not None
    assert (closed.status, tenant_env.entry_of(dead.run.id).status) == ("failed", "failed")
    list(turn.events())
    assert texts(tenant_env.messages_of(session_id)) == ["first", "Hello.", "again", "again", "Hello."]
    assert head_of(tenant_env, session_id).message_count == 5


def test_takes_a_session_that_an_ended_turn_still_holds(tenant_env: TenantEnv, session_id: SessionId) -> None:
    first = begin_again(tenant_env, session_id)
    with tenant_env.intercepted(Outage(lambda number, _: number >= 3)):
        list(first.events())
    assert head_of(tenant_env, session_id).turn is not None
    list(begin_again(tenant_env, session_id).events())
    assert head_of(tenant_env, session_id).message_count == 6


def take_without_a_run(tenant_env: TenantEnv, session_id: SessionId) -> None:
    """Kill a worker after it took the session and before it records its run."""
    tenant_env.clock.advance(1)
    reads_and_the_taking = 4
    with tenant_env.intercepted(Kill(reads_and_the_taking, applied=False)), pytest.raises(Killed):
        tenant_env.begin("lost", session_id=session_id)
    assert head_of(tenant_env, session_id).turn is not None


def test_waits_a_minute_for_a_turn_that_was_never_recorded(tenant_env: TenantEnv, session_id: SessionId) -> None:
    take_without_a_run(tenant_env, session_id)
    with pytest.raises(SessionBusy):
        begin_again(tenant_env, session_id)
    tenant_env.clock.advance(OPENING_GRACE_SECONDS)
    list(begin_again(tenant_env, session_id).events())
    head = head_of(tenant_env, session_id)
    assert (head.turn, head.turn_count, head.message_count) == (None, 2, 4)
    assert texts(tenant_env.messages_of(session_id)) == ["first", "Hello.", "again", "Hello."]


def test_the_minute_counts_whole(tenant_env: TenantEnv, session_id: SessionId) -> None:
    take_without_a_run(tenant_env, session_id)
    tenant_env.clock.advance(OPENING_GRACE_SECONDS)
    assert not tenant_env.finalizer().release_stale(session_id)
    tenant_env.clock.advance(0.001)
    assert tenant_env.finalizer().release_stale(session_id)


def test_a_worker_that_was_paused_before_recording_gives_up(tenant_env: TenantEnv, session_id: SessionId) -> None:
    """Otherwise the worker could run in a session that another turn has taken over."""

    def sleep_after_taking(operation: str, _arguments: object, send: Send) -> Any:
        answer = send()
        if operation == "UpdateItem":
            tenant_env.clock.advance(OPENING_GRACE_SECONDS)
        return answer

    before = tenant_env.items("RUN#")
    with tenant_env.intercepted(sleep_after_taking), pytest.raises(Unavailable):
        begin_again(tenant_env, session_id)
    assert tenant_env.items("RUN#") == before
    assert head_of(tenant_env, session_id).turn is None


def test_mints_a_greater_run_id_if_the_clock_is_behind(tenant_env: TenantEnv, session_id: SessionId) -> None:
    """The last run id of the session was created with a clock that was two seconds ahead."""
    tenant_env.clock.advance(2)
    last = session_of_last(tenant_env, session_id)
    tenant_env.clock.advance(-2)
    turn = tenant_env.begin("again", session_id=session_id)
    assert turn.run.id > last
    list(turn.events())
    assert texts(tenant_env.messages_of(session_id)) == ["first", "Hello.", "ahead", "Hello.", "again", "Hello."]


def session_of_last(tenant_env: TenantEnv, session_id: SessionId) -> str:
    return tenant_env.run_of(list(tenant_env.begin("ahead", session_id=session_id).events())).id


def test_mints_a_greater_run_id_within_the_same_millisecond(tenant_env: TenantEnv, session_id: SessionId) -> None:
    for _ in range(12):
        list(tenant_env.begin("again", session_id=session_id).events())
    runs = [message.text for message in tenant_env.messages_of(session_id) if message.role == "user"]
    assert runs == ["first", *["again"] * 12]
