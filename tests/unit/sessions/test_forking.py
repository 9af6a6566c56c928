"""A fork has the history up to a message, is independent of the copied session, and appears whole or not at all."""

from datetime import timedelta
from typing import Any

import pytest
from atrium.context.conversation import Conversation, RecentRuns, open_conversation
from atrium.kernel.errors import Conflict, NotFound, SessionBusy
from atrium.kernel.ids import RunId, SessionId
from atrium.kernel.pagination import PageRequest, read_all
from atrium.llm.model import Image, Text, Thinking, ToolResult, ToolUse
from atrium.runs.model import Message, Run, RunError, Spend, Summary
from atrium.sessions import forking
from atrium.sessions.forking import ABANDONED_SECONDS
from atrium.sessions.model import ForkOrigin

from tests.builders.records import build_message, build_outcome, build_run
from tests.builders.runtimes import NOON
from tests.builders.sessions import fork_session
from tests.builders.sweeping import sweep_sessions
from tests.builders.tenant_env import ADMIN, TenantEnv, begin_again, context_of, texts
from tests.builders.wires import Kill, Killed, Recorder, Send
from tests.unit.sessions.test_deletion import noise

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"


def add_turn(tenant_env: TenantEnv, session_id: SessionId, number: int, *answers: Message, **changes: Any) -> Run:
    """Add an ended turn to a session."""
    at = NOON + timedelta(seconds=number)
    run = build_run(session_id, at=at, question=f"question {number}")
    tenant_env.runs().open(run)
    outcome = build_outcome(messages=answers, **changes)
    tenant_env.runs().end(run.id, outcome, at=at)
    return run.ended(outcome, at)


def rich_turn(tenant_env: TenantEnv, session_id: SessionId, number: int = 2) -> Run:
    """Add a turn with thinking, two tool calls, an image in a result, an answer, and content in blobs."""
    calls = [ToolUse(f"call_{at}", "calculator", {"expression": "6*7"}) for at in range(2)]
    results = (ToolResult("call_0", "42"), ToolResult("call_1", (Text("See:"), Image("image/png", PNG))))
    return add_turn(
        tenant_env,
        session_id,
        number,
        build_message("assistant", Thinking("Hm.", "signature"), Text("Let me see."), *calls),
        build_message("tool", *results),
        build_message("assistant", noise(number)),
    )


def fill(tenant_env: TenantEnv) -> SessionId:
    session_id = tenant_env.open_session()
    add_turn(tenant_env, session_id, 1, build_message("assistant", "answer 1"))
    rich_turn(tenant_env, session_id)
    add_turn(tenant_env, session_id, 3, build_message("assistant", "answer 3"))
    return session_id


def runs_of(tenant_env: TenantEnv, session_id: SessionId) -> list[Run]:
    store = tenant_env.runs()
    return list(read_all(lambda page: store.list_by_session(session_id, page, newest_first=False)))


def test_copies_the_whole_history_with_all_kinds_of_blocks(tenant_env: TenantEnv) -> None:
    source = fill(tenant_env)
    fork = fork_session(tenant_env.session_service(), source)
    assert tenant_env.messages_of(fork.id) == tenant_env.messages_of(source)
    assert tenant_env.sessions().get(fork.id) == fork
    assert (fork.message_count, fork.turn_count, fork.forked_from) == (8, 3, ForkOrigin(source))
    assert fork.usage == {}
    copies, originals = runs_of(tenant_env, fork.id), runs_of(tenant_env, source)
    assert {run.session_id for run in copies} == {fork.id}
    assert [run.id[:30] for run in copies] == [run.id[:30] for run in originals]
    assert all(run.spend == Spend() and run.outcome and run.outcome.spend == Spend() for run in copies)
    assert sweep_sessions(tenant_env).removed == 0


def test_the_fork_and_the_session_do_not_affect_each_other(tenant_env: TenantEnv) -> None:
    source = fill(tenant_env)
    service = tenant_env.session_service()
    first, second = fork_session(service, source), fork_session(service, source)
    expected = tenant_env.messages_of(source)
    service.delete(first.id, undelete_days=0)
    assert tenant_env.messages_of(source) == tenant_env.messages_of(second.id) == expected
    service.delete(source, undelete_days=0)
    tenant_env.clock.advance(10)
    turn = begin_again(tenant_env, second.id)
    list(turn.events())
    assert tenant_env.messages_of(second.id)[:-2] == expected


@pytest.mark.parametrize(("number", "kept"), [(0, 1), (1, 2), (2, 3), (3, 5), (4, 5), (5, 6), (7, 8)])
def test_ends_at_any_message_without_open_tool_calls(tenant_env: TenantEnv, number: int, kept: int) -> None:
    source = fill(tenant_env)
    messages = tenant_env.messages_of(source)
    fork = fork_session(tenant_env.session_service(), source, message_id=messages[number].id, title="Again")
    assert tenant_env.messages_of(fork.id) == messages[:kept]
    assert (fork.title, fork.message_count) == ("Again", kept)
    assert fork.forked_from == ForkOrigin(source, messages[number].id)
    last = runs_of(tenant_env, fork.id)[-1]
    assert last.status == ("succeeded" if kept in (2, 6, 8) else "cancelled")
    tenant_env.clock.advance(10)
    turn = begin_again(tenant_env, fork.id)
    list(turn.events())
    (sent,) = [request.messages for request in tenant_env.model.requests]
    called = {block.id for message in sent for block in message.content if isinstance(block, ToolUse)}
    answered = {block.tool_use_id for message in sent for block in message.content if isinstance(block, ToolResult)}
    assert called == answered
    assert sent[-1].content[-1] == Text("again")


def test_keeps_the_error_of_a_failed_turn(tenant_env: TenantEnv) -> None:
    source = tenant_env.open_session()
    error = RunError("MODEL_FAILED", "The model failed.")
    add_turn(tenant_env, source, 1, build_message("assistant", "One, "), status="failed", stop_reason=None, error=error)
    fork = fork_session(tenant_env.session_service(), source)
    (copy,) = runs_of(tenant_env, fork.id)
    assert copy.outcome is not None
    assert (copy.status, copy.outcome.error) == ("failed", error)


def test_keeps_summaries_but_not_that_of_a_turn_that_is_cut(tenant_env: TenantEnv) -> None:
    source = tenant_env.open_session()
    first = add_turn(tenant_env, source, 1, build_message("assistant", "answer 1"))
    summary = Summary("They talked.", first.id[4:30], 0)
    answers = build_message("assistant", "answer 2"), build_message("assistant", "more")
    add_turn(tenant_env, source, 2, *answers, summary=summary)

    def opened(session_id: SessionId) -> Conversation:
        return open_conversation(RecentRuns.read(tenant_env.runs(), session_id), Conversation())

    service = tenant_env.session_service()
    whole = fork_session(service, source)
    assert opened(whole.id) == opened(source)
    assert opened(whole.id).summary == summary
    cut = fork_session(service, source, message_id=answers[0].id)
    assert opened(cut.id).summary is None
    assert len(opened(cut.id).turns) == 2


def test_copies_only_ended_runs(tenant_env: TenantEnv) -> None:
    source = fill(tenant_env)
    tenant_env.clock.advance(60)
    running = begin_again(tenant_env, source).run
    service = tenant_env.session_service()
    fork = fork_session(service, source)
    assert fork.turn is None
    assert len(tenant_env.messages_of(fork.id)) == 8
    with pytest.raises(SessionBusy):
        fork_session(service, source, message_id=running.question.id)


def test_runs_of_a_fork_can_be_read_but_are_not_listed(tenant_env: TenantEnv) -> None:
    source = fill(tenant_env)
    fork = fork_session(tenant_env.session_service(ADMIN), source)
    assert fork.owner == ADMIN.owner
    runs = tenant_env.run_service(ADMIN)
    copies = {run.id for run in runs_of(tenant_env, fork.id)}
    listed = {run.id for run in runs.list(PageRequest(100), session_id=None, status=None).items}
    assert not copies & listed
    assert {runs.get(run_id).owner for run_id in copies} == {ADMIN.owner}
    with pytest.raises(NotFound):
        tenant_env.run_service().get(RunId(next(iter(copies))))


def test_an_empty_session_can_be_forked(tenant_env: TenantEnv) -> None:
    source = tenant_env.open_session()
    fork = fork_session(tenant_env.session_service(), source)
    assert (fork.message_count, fork.turn_count) == (0, 0)
    list(begin_again(tenant_env, fork.id).events())
    assert len(tenant_env.messages_of(fork.id)) == 2


def test_an_unknown_message_writes_nothing(tenant_env: TenantEnv) -> None:
    source, other = fill(tenant_env), fill(tenant_env)
    before = tenant_env.items()
    for message_id in ("x", "", tenant_env.messages_of(other)[0].id):
        with pytest.raises(NotFound, match="Message not found"):
            fork_session(tenant_env.session_service(), source, message_id=message_id)
    assert tenant_env.items() == before


def test_a_history_that_is_too_large_is_rejected(tenant_env: TenantEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fill(tenant_env)
    monkeypatch.setattr(forking, "FORK_RUNS_MAX", 2)
    service = tenant_env.session_service()
    with pytest.raises(Conflict, match="too large"):
        fork_session(service, source)
    message = tenant_env.messages_of(source)[5]
    assert fork_session(service, source, message_id=message.id).turn_count == 2


def test_a_history_whose_copy_takes_too_long_is_rejected(tenant_env: TenantEnv) -> None:
    source = fill(tenant_env)

    def wait(_operation: str, _arguments: object, send: Send) -> Any:
        tenant_env.clock.advance(20)
        return send()

    with tenant_env.intercepted(wait), pytest.raises(Conflict, match="too large"):
        fork_session(tenant_env.session_service(), source)
    assert tenant_env.sessions().list_all(PageRequest()).items[0].id == source


def test_a_session_that_is_deleted_meanwhile_is_not_forked(tenant_env: TenantEnv) -> None:
    source, service = fill(tenant_env), tenant_env.session_service()

    def delete(operation: str, arguments: dict[str, Any], send: Send) -> Any:
        if operation == "PutItem" and "RUN#" in arguments["Item"]["sk"]["S"]:
            service.delete(source, undelete_days=0)
        return send()

    with tenant_env.intercepted(delete), pytest.raises(NotFound):
        fork_session(service, source)
    assert service.list(PageRequest()).items == []
    tenant_env.clock.advance(ABANDONED_SECONDS + 1)
    sweep_sessions(tenant_env)
    assert tenant_env.items("SESSION#") == []
    assert tenant_env.blobs() == []


def test_killed_at_any_call_it_leaves_nothing_visible_and_the_sweeper_removes_the_rest(tenant_env: TenantEnv) -> None:
    source, service = fill(tenant_env), tenant_env.session_service()
    recorder = Recorder()
    with tenant_env.intercepted(recorder):
        whole = fork_session(service, source)
    service.delete(whole.id, undelete_days=0)
    before, blobs, expected = tenant_env.items("SESSION#"), set(tenant_env.blobs()), tenant_env.messages_of(source)
    calls = len(recorder.operations)
    assert calls > 8
    for number in range(calls):
        with tenant_env.intercepted(Kill(number, applied=True)), pytest.raises(Killed):
            fork_session(service, source)
        tenant_env.clock.advance(ABANDONED_SECONDS + 1)
        visible = [each.id for each in service.list(PageRequest()).items if each.id != source]
        assert [tenant_env.messages_of(each) for each in visible] == [expected] * len(visible)
        sweep_sessions(tenant_env)
        for each in visible:
            assert tenant_env.messages_of(each) == expected
            service.delete(each, undelete_days=0)
        assert (tenant_env.items("SESSION#"), set(tenant_env.blobs())) == (before, blobs)


def test_a_fork_of_another_owners_session_is_not_possible(tenant_env: TenantEnv) -> None:
    source = fill(tenant_env)
    outsider = tenant_env.session_service(context_of("usr_01k6r5m2x8f3v9q4w7t1y0z5zz"))
    with pytest.raises(NotFound):
        fork_session(outsider, source)


def test_user_messages_of_a_fork_count_against_messages_per_session(tenant_env: TenantEnv) -> None:
    source = fill(tenant_env)
    fork = fork_session(tenant_env.session_service(), source)
    read = tenant_env.sessions().get(fork.id)
    assert read is not None
    assert read.turn_count == len([each for each in tenant_env.messages_of(fork.id) if each.role == "user"])
    assert texts(tenant_env.messages_of(fork.id))[0] == "question 1"
