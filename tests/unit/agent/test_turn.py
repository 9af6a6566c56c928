"""A whole turn: its events, its record, its ledger entry, and the order in which they are written."""

import json

from atrium.llm.model import Thinking
from atrium.runs.model import RunEvent

from tests.builders.scripted import calls
from tests.builders.tenant_env import TenantEnv, run_id_of, session_id_of, text_of, types_of
from tests.builders.wires import Recorder, lose_replies


def assert_whole(events: list[RunEvent]) -> None:
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[0].type == "start"
    assert events[-1].type in {"final", "error"}
    assert [event.type for event in events].count("final") + [event.type for event in events].count("error") == 1


def test_events_of_a_turn_with_a_tool(tenant_env: TenantEnv) -> None:
    tenant_env.model.say(Thinking("hm", "sig"), "Let me ", "see.", calls("calculator", expression="6*7"))
    tenant_env.model.say("It is ", "42.")
    events = tenant_env.talk("what is 6*7?")
    assert_whole(events)
    assert types_of(events) == [
        "start", "thinking", "text", "text", "tool_call", "tool_result", "text", "text", "text", "usage", "final",
    ]  # fmt: skip
    run = tenant_env.run_of(events)
    assert events[0].data == {"session_id": run.session_id, "run_id": run.id, "model": run.model}
    assert events[4].data == {"tool_call_id": "call_1", "tool": "calculator", "args": {"expression": "6*7"}}
    assert events[5].data == {"tool_call_id": "call_1", "tool": "calculator", "result": "42", "is_error": False}
    assert events[-2].data == {
        "input_tokens": 200,
        "output_tokens": 40,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "tool_calls": 1,
        "cost_usd": "0.000040",
    }
    assert events[-1].data == {
        "message_id": run.messages[-1].id,
        "content": "Let me see.\n\nIt is 42.",
        "stop_reason": "end_turn",
        "degraded": False,
    }
    assert events[-1].data["content"] == text_of(events)
    json.dumps([dict(event.data) for event in events])


def test_the_record_of_a_turn(tenant_env: TenantEnv) -> None:
    tenant_env.model.say("Hello.")
    events = tenant_env.talk("Hi", end_user="ann", metadata={"ticket": 7})
    run, entry = tenant_env.run_of(events), tenant_env.entry_of(run_id_of(events))
    assert (run.status, run.end_user, run.metadata, run.ended_at) == (
        "succeeded",
        "ann",
        {"ticket": 7},
        tenant_env.clock.now,
    )
    assert [(message.role, message.text) for message in run.messages] == [("user", "Hi"), ("assistant", "Hello.")]
    assert tenant_env.messages_of(run.session_id) == list(run.messages)
    assert (entry.run_id, entry.session_id, entry.agent_id, entry.principal_id) == (
        run.id, run.session_id, run.agent_id, run.owner,
    )  # fmt: skip
    assert (entry.tokens, entry.cost_nanos, entry.status, entry.model, entry.end_user) == (
        run.spend.tokens, run.spend.cost_nanos, "succeeded", run.model, "ann",
    )  # fmt: skip
    session = tenant_env.sessions().get(run.session_id)
    assert session is not None
    assert (session.turn, session.turn_count, session.message_count, session.title) == (None, 1, 2, "Hi")


def test_the_second_turn_sees_the_first(tenant_env: TenantEnv) -> None:
    tenant_env.model.say("Let me see.", calls("calculator", expression="6*7"))
    tenant_env.model.say("42.")
    first = tenant_env.talk("what is 6*7?")
    tenant_env.talk("and twice that?", session_id=session_id_of(first))
    shown = tenant_env.model.requests[-1].messages
    assert [message.role for message in shown] == ["user", "assistant", "user", "assistant", "user"]
    assert len(tenant_env.messages_of(session_id_of(first))) == 6


def test_start_event_and_run_exist_before_the_model_call(tenant_env: TenantEnv) -> None:
    events = tenant_env.begin().events()
    start = next(events)
    assert start.type == "start"
    assert tenant_env.model.requests == []
    run = tenant_env.runs().get(run_id_of([start]))
    assert run is not None
    assert run.is_open
    list(events)


def test_the_run_is_committed_before_usage_and_final(tenant_env: TenantEnv) -> None:
    for event in tenant_env.begin().events():
        if event.type == "start":
            run_id = run_id_of([event])
        run = tenant_env.runs().get(run_id)
        assert run is not None
        assert run.is_open is (event.type not in {"usage", "final"})
        if not run.is_open:
            session = tenant_env.sessions().get(run.session_id)
            assert session is not None
            assert session.turn is None
            assert tenant_env.ledger().get(run_id) is not None


def test_completes_once_if_every_reply_is_lost(tenant_env: TenantEnv) -> None:
    with tenant_env.intercepted(lose_replies):
        tenant_env.model.say("A", calls("calculator", expression="1"))
        first = tenant_env.talk()
        second = tenant_env.talk("again", session_id=session_id_of(first))
    for events in (first, second):
        assert_whole(events)
        assert events[-1].type == "final"
    session = tenant_env.sessions().get(session_id_of(first))
    assert session is not None
    assert (session.turn, session.turn_count, session.message_count) == (None, 2, 6)
    assert len(tenant_env.items("LEDGER#")) == 2


def test_the_calls_of_a_short_turn(tenant_env: TenantEnv) -> None:
    """A turn makes two parallel reads, three writes before its first event, and four writes at its end."""
    session_id = session_id_of(tenant_env.talk())
    recorder = Recorder()
    tenant_env.clock.advance(1)
    with tenant_env.intercepted(recorder):
        turn = tenant_env.begin("again", session_id=session_id)
        opening = len(recorder.operations)
        list(turn.events())
    assert sorted(recorder.operations[:2]) == ["BatchGetItem", "Query"]
    assert recorder.operations[2:opening] == ["UpdateItem", "UpdateItem", "PutItem"], "admission, session, run"
    assert recorder.operations[opening:] == ["PutItem", *["UpdateItem"] * 3], "ledger, settlement, run, session"
