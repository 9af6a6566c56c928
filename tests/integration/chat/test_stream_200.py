"""`POST /v1/chat/stream`: the bytes of the stream, and the order and timing of its events."""

import json
from itertools import pairwise

import pytest
from pydantic import ValidationError

from functions.chat.app import app
from functions.chat.events import EVENT
from tests.builders.api_env import ApiEnv, Sent, assert_problem, read_events, stream, wait_until

pytestmark = pytest.mark.loopback


def types(events: list[Sent]) -> list[str]:
    return [event.event for event in events]


def texts(events: list[Sent]) -> list[str]:
    return [event.data["content"] for event in events if event.event == "text"]


def test_event_ids_count_up_and_final_is_last(api_env: ApiEnv) -> None:
    events = stream(api_env.chat_as(), "One two three four. [[echo]] [[pieces=4]]")
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert types(events) == ["start", "text", "text", "text", "text", "usage", "final"]
    assert set(events[0].data) == {"session_id", "run_id", "model"}
    assert set(events[-2].data) == {
        "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "tool_calls", "cost_usd",
    }  # fmt: skip
    assert events[-1].data["content"] == "".join(texts(events)) == "One two three four."
    assert set(events[-1].data) == {"message_id", "content", "stop_reason", "degraded"}


def test_bytes_and_headers(api_env: ApiEnv) -> None:
    with api_env.chat_as().stream("POST", "/v1/chat/stream", json={"message": "Grüße\n[[echo]]"}) as response:
        raw = response.read()
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert "content-encoding" not in response.headers
    blocks = raw.decode().split("\n\n")
    assert blocks[-1] == ""
    for number, block in enumerate(blocks[:-1], start=1):
        lines = block.split("\n")
        assert lines[0] == f"id: {number}"
        assert [line.partition(": ")[0] for line in lines] == ["id", "event", "data"]
        json.loads(lines[2].removeprefix("data: "))


def test_start_comes_before_the_model_answered(api_env: ApiEnv) -> None:
    with api_env.chat_as().stream("POST", "/v1/chat/stream", json={"message": "Hi [[delay=0.6]]"}) as response:
        events = read_events(response)
        start = next(events)
        assert start is not None
        assert start.event == "start"
        assert all(record.first_byte_at is None for record in api_env.server.requests())
        rest = list(events)
    assert rest[-1] is not None
    assert rest[-1].seconds - start.seconds >= 0.5


def test_sends_pieces_as_they_arrive_from_the_model(api_env: ApiEnv) -> None:
    events = stream(api_env.chat_as(), "[[slow=0.15]] [[pieces=5]] a b c d e f g h i j k l [[echo]]")
    seconds = [event.seconds for event in events if event.event == "text"]
    assert len(seconds) == 5
    gaps = [later - earlier for earlier, later in pairwise(seconds)]
    assert all(gap > 0.05 for gap in gaps), gaps


def test_thinking_tools_and_their_results(api_env: ApiEnv) -> None:
    message = '[[thinking=let me count]] [[preface=Counting.]] [[tool=calculator {"expression": "6*7"}]]'
    events = stream(api_env.chat_as(), message)
    seen = types(events)
    assert [kind for at, kind in enumerate(seen) if at == 0 or kind != seen[at - 1]] == [
        "start", "thinking", "text", "tool_call", "tool_result", "thinking", "text", "usage", "final",
    ]  # fmt: skip
    call = next(event for event in events if event.event == "tool_call")
    result = next(event for event in events if event.event == "tool_result")
    assert (call.data["tool"], call.data["args"]) == ("calculator", {"expression": "6*7"})
    assert result.data == {
        "tool_call_id": call.data["tool_call_id"], "tool": "calculator", "result": "42", "is_error": False,
    }  # fmt: skip
    assert events[-1].data["content"] == "".join(texts(events))
    assert events[-2].data["tool_calls"] == 1


def test_parallel_tools_and_wrong_arguments(api_env: ApiEnv) -> None:
    asked = ['calculator {"expression": "1+1"}', 'calculator {"expression": "x"}', 'current_time {"zone": 1}']
    events = stream(api_env.chat_as(), " ".join(f"[[tool={each}]]" for each in asked))
    assert types(events)[:7] == ["start", *["tool_call"] * 3, *["tool_result"] * 3]
    results = {event.data["tool_call_id"]: event.data["is_error"] for event in events if event.event == "tool_result"}
    calls = [event.data["tool_call_id"] for event in events if event.event == "tool_call"]
    assert [results[call] for call in calls] == [False, True, True]
    assert events[-1].event == "final"


@pytest.mark.parametrize("directive", ["overload_midstream", "disconnect"])
def test_a_failure_in_the_middle_is_an_error_event(api_env: ApiEnv, directive: str) -> None:
    events = stream(api_env.chat_as(), f"[[{directive}=3]] [[pieces=6]] a b c d e f g h i j [[echo]]")
    assert types(events) == ["start", "text", "text", "text", "error"]
    problem = events[-1].data
    assert (problem["code"], problem["status"], problem["retryable"]) == ("MODEL_FAILED", 502, True)
    assert problem["type"] == "/docs/errors/MODEL_FAILED"
    run = api_env.chat_as().get(f"/v1/runs/{events[0].data['run_id']}").json()
    assert (run["status"], run["error"]["code"]) == ("failed", "MODEL_FAILED")
    assert run["usage"]["output_tokens"] > 0


def test_a_stage_prefix_is_in_the_links(api_env: ApiEnv) -> None:
    events = stream(api_env.chat_as(stage_prefix="/dev"), "[[status=400]]")
    assert events[-1].data["type"] == "/dev/docs/errors/MODEL_FAILED"


def test_sends_comments_during_silence(api_env: ApiEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.chat.sse.KEEP_ALIVE_SECONDS", 0.1)
    with api_env.chat_as().stream("POST", "/v1/chat/stream", json={"message": "Hi [[delay=0.5]]"}) as response:
        events = list(read_events(response))
    assert events.count(None) >= 2
    assert [event.id for event in events if event] == list(range(1, len(events) - events.count(None) + 1))


def test_a_reconnecting_client_gets_the_missing_events(api_env: ApiEnv) -> None:
    message = "[[slow=0.1]] [[pieces=8]] a b c d e f g h i j k l m n o p [[echo]]"
    with api_env.chat_as().stream("POST", "/v1/chat/stream", json={"message": message}) as response:
        seen = []
        for event in read_events(response):
            assert event is not None
            seen.append(event)
            if event.id == 4:
                break
    client = api_env.chat_as()
    run_id = seen[0].data["run_id"]
    wait_until(lambda: client.get(f"/v1/runs/{run_id}").json()["status"] == "succeeded")
    with client.stream("GET", f"/v1/runs/{run_id}/events", headers={"last-event-id": "4"}) as response:
        rest = [event for event in read_events(response) if event]
    events = [*seen, *rest]
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert events[-1].data["content"] == "".join(texts(events))
    messages = api_env.sessions_as().get(f"/v1/sessions/{seen[0].data['session_id']}/messages").json()["data"]
    assert messages[-1]["content"][0]["text"] == events[-1].data["content"]
    assert len(api_env.tenant_env.items("LEDGER#")) == 1
    assert [record.outcome for record in api_env.server.requests()] == ["completed"]


def test_deleting_the_session_ends_the_stream(api_env: ApiEnv) -> None:
    message = "[[slow=0.1]] [[pieces=5]] a b c d e f g h i j k l [[echo]]"
    with api_env.chat_as().stream("POST", "/v1/chat/stream", json={"message": message}) as response:
        events = []
        for event in read_events(response):
            assert event is not None
            events.append(event)
            if event.id == 2:
                path = f"/v1/sessions/{events[0].data['session_id']}?permanent=true"
                deleted = api_env.sessions_as().delete(path)
                assert deleted.status_code == 204
    assert (events[-1].event, events[-1].data["code"]) == ("error", "NOT_FOUND")
    assert_problem(api_env.chat_as().get(f"/v1/runs/{events[0].data['run_id']}"), 404, "NOT_FOUND")
    assert api_env.tenant_env.items("SESSION#") == []
    assert len(api_env.tenant_env.items("LEDGER#")) == 1


@pytest.mark.parametrize(
    "message",
    [
        "Hi",
        '[[thinking=let me count]] [[preface=Counting.]] [[tool=calculator {"expression": "6*7"}]]',
        '[[tool=calculator {"expression": "1/0"}]] [[tool=unknown {"deep": {"list": [1, null, 2.5]}}]]',
        "[[stop=max_tokens]] [[tokens=200]]",
        "[[refusal]]",
        "[[status=400]]",
        "[[status=429]] [[retry_after=1]]",
        "[[disconnect]]",
    ],
)
def test_every_event_matches_its_documented_schema(api_env: ApiEnv, message: str) -> None:
    """The documented models reject unknown fields and values of other types."""
    events = stream(api_env.chat_as(), message)
    assert events[-1].event in {"final", "error"}
    for event in events:
        shown = EVENT.validate_python({"id": event.id, "event": event.event, "data": event.data})
        assert shown.event == event.event


def test_a_field_that_is_not_documented_fails() -> None:
    with pytest.raises(ValidationError):
        EVENT.validate_python({"id": 1, "event": "text", "data": {"content": "a", "more": 1}})


def test_the_document_shows_each_type_of_event_with_its_data() -> None:
    schemas = app.openapi()["components"]["schemas"]
    content = app.openapi()["paths"]["/v1/chat/stream"]["post"]["responses"]["200"]["content"]["text/event-stream"]
    events = schemas[content["schema"]["$ref"].rpartition("/")[2]]
    assert set(events["discriminator"]["mapping"]) == {
        "start", "text", "thinking", "tool_call", "tool_result", "approval_required", "usage", "final", "error",
    }  # fmt: skip
    for reference in events["discriminator"]["mapping"].values():
        data = schemas[reference.rpartition("/")[2]]["properties"]["data"]
        assert schemas[data["$ref"].rpartition("/")[2]]["properties"]
