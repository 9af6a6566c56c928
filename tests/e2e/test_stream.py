"""The event stream: the types of events, their order, and the time at which each event arrives."""

import itertools
import json

from tests.e2e.conftest import Tenant
from tests.e2e.stream import stream_chat


def test_start_comes_before_the_model_answers(pro: Tenant) -> None:
    events = stream_chat(pro.http, "[[delay=2]] Hello there.")
    assert events[0].type == "start"
    assert events[0].data["model"] == "claude-haiku-5-5"
    assert events[0].at < 1.5
    first_text = next(event for event in events if event.type == "text")
    assert first_text.at >= 1.9


def test_pieces_come_as_the_model_sends_them(pro: Tenant) -> None:
    events = stream_chat(pro.http, "[[slow=0.3]] [[pieces=6]] Tell me something.")
    texts = [event for event in events if event.type == "text"]
    assert len(texts) >= 6
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(texts)]
    assert texts[-1].at - texts[0].at >= 1.4
    assert sum(gap >= 0.2 for gap in gaps) >= 4
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events[-2:]] == ["usage", "final"]
    assert events[-1].data["content"] == "".join(event.data["content"] for event in texts)
    assert set(events[-1].data) >= {"message_id", "content", "stop_reason", "degraded"}
    assert set(events[-2].data) >= {"input_tokens", "output_tokens", "tool_calls", "cost_usd"}


def test_tool_events_when_the_model_calls_the_calculator(pro: Tenant) -> None:
    events = stream_chat(pro.http, "What is 12*7?")
    types = [event.type for event in events]
    assert types.index("tool_call") < types.index("tool_result") < types.index("usage") < types.index("final")
    called = next(event.data for event in events if event.type == "tool_call")
    result = next(event.data for event in events if event.type == "tool_result")
    assert called["tool"] == result["tool"] == "calculator"
    assert called["tool_call_id"] == result["tool_call_id"]
    assert called["args"] == {"expression": "12*7"}
    assert result["result"] == "84"
    assert result["is_error"] is False
    assert next(event.data for event in events if event.type == "usage")["tool_calls"] == 1


def test_thinking_is_an_event_of_its_own(pro: Tenant) -> None:
    events = stream_chat(pro.http, "[[thinking=Let me see]] Hello.")
    assert "".join(event.data["content"] for event in events if event.type == "thinking") == "Let me see"


def test_a_model_that_fails_in_mid_stream_ends_with_an_error_event(pro: Tenant) -> None:
    events = stream_chat(pro.http, "[[overload_midstream]] Hello.")
    assert events[-1].type == "error"
    assert events[-1].data["code"] == "MODEL_FAILED"
    assert events[-1].data["status"] == 502
    run = pro.http.get(f"/v1/runs/{events[0].data['run_id']}").json()
    assert run["status"] == "failed"
    follow_up = pro.chat("Are you well again?", session_id=events[0].data["session_id"])
    assert follow_up["response"]


def test_a_replayed_stream_has_the_same_events(pro: Tenant) -> None:
    headers = {"idempotency-key": "e2e-stream-1"}
    bodies = []
    for _ in range(2):
        answer = pro.http.post("/v1/chat/stream", json={"message": "What is 6*7?"}, headers=headers)
        assert answer.status_code == 200
        bodies.append(answer.text)
    assert bodies[0] == bodies[1]
    assert answer.headers["idempotency-replayed"] == "true"
    assert json.loads(bodies[1].rsplit("data: ", 1)[1])["content"]
