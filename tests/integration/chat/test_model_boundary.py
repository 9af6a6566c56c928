"""For any output of a model server, chat returns an answer or 502. The session remains readable and usable."""

import json
from typing import Any

import httpx2
import pytest
from atrium.http import logs

from tests.builders.api_env import ADMIN, ApiEnv, assert_problem, say, stream
from tests.builders.upstream import START, STOP, Upstream, called, closed, opened, piece, reason, said
from tests.integration.chat.test_events_200 import poll

pytestmark = pytest.mark.loopback

CALL = '{"expression": "6*7"}'


def strict(response: httpx2.Response) -> Any:
    """Parse a response as JSON. Fail on NaN and infinity."""
    assert response.status_code == 200, response.text
    return json.loads(response.content, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def assert_goes_on(api_env: ApiEnv, session_id: str) -> None:
    """Assert that the session accepts the next message and can be read."""
    client = api_env.chat_as()
    body = strict(say(client, "And then?", session_id=session_id))
    assert body["response"] == "Hello."
    assert strict(api_env.sessions_as().get(f"/v1/sessions/{session_id}/messages", params={"limit": 100}))["data"]
    for run in strict(client.get("/v1/runs", params={"session_id": session_id}))["data"]:
        assert run["status"] in {"succeeded", "failed"}
        assert poll(api_env, run["id"])["ended"]


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def test_half_surrogates_of_two_deltas_are_one_character(api_env: ApiEnv, upstream: Upstream) -> None:
    halves = (piece(0, "text_delta", text="\ud83d"), piece(0, "text_delta", text="\ude00"))
    upstream.say(START, opened(0, type="text", text=""), *halves, closed(0), reason("end_turn"), STOP)
    events = stream(api_env.chat_as(), "Hi")
    assert (events[-1].event, events[-1].data["content"]) == ("final", "😀")
    assert_goes_on(api_env, events[0].data["session_id"])


@pytest.mark.parametrize("arguments", ['{"a": NaN}', '{"a": 1e999}', nested(255), '{"a":', "[1]"])
def test_reports_bad_arguments_to_the_model(api_env: ApiEnv, upstream: Upstream, arguments: str) -> None:
    upstream.say(START, *called(arguments), reason("tool_use"), STOP)
    events = stream(api_env.chat_as(), "Hi")
    results = [event.data for event in events if event.event == "tool_result"]
    assert [(result["is_error"], "arguments" in result["result"]) for result in results] == [(True, True)]
    assert events[-1].data["content"] == "Hello."
    assert upstream.requests[1]["messages"][-1]["content"][0]["is_error"] is True
    assert_goes_on(api_env, events[0].data["session_id"])


@pytest.mark.parametrize("identity", [{"call_id": None}, {"call_id": ""}, {"call_id": "a b"}, {"name": "a b!"},
                                      {"name": None}, {"name": "x" * 300}], ids=str)  # fmt: skip
def test_ids_and_names_are_repaired_before_they_are_stored(
    api_env: ApiEnv, upstream: Upstream, identity: dict[str, Any]
) -> None:
    upstream.say(START, *called(CALL, **identity), *called(CALL, 1, **identity), reason("tool_use"), STOP)
    body = strict(say(api_env.chat_as(), "Hi"))
    assert body["response"] == "Hello."
    assert_goes_on(api_env, body["session_id"])
    assert upstream.refusals == []


def test_a_complete_call_is_executed_whatever_the_stop_reason(api_env: ApiEnv, upstream: Upstream) -> None:
    upstream.say(START, *called(CALL), reason("end_turn"), STOP)
    body = strict(say(api_env.chat_as(), "Hi"))
    assert (body["usage"]["tool_calls"], body["iterations"], body["response"]) == (1, 2, "Hello.")
    assert upstream.requests[1]["messages"][-1]["content"][0]["content"] == "42"


BROKEN = {
    "a reason to call without a call": (START, *said("I will."), reason("tool_use"), STOP),
    "no beginning": (*said("Hi"), reason("end_turn"), STOP),
    "no end": (START, *said("Hi")),
    "text that is no text": (START, opened(0, type="text", text=""), piece(0, "text_delta", text={"a": 1})),
}


@pytest.mark.parametrize("events", BROKEN.values(), ids=BROKEN.keys())
def test_502_without_a_retry_for_an_unrepairable_answer(
    api_env: ApiEnv, upstream: Upstream, events: tuple[Any, ...]
) -> None:
    upstream.say(*events)
    problem = assert_problem(say(api_env.chat_as(), "Hi"), 502, "MODEL_FAILED")
    assert len(upstream.requests) == 1
    run = strict(api_env.chat_as().get(f"/v1/runs/{problem['run_id']}"))
    assert run["error"]["code"] == "MODEL_FAILED"
    assert_goes_on(api_env, run["session_id"])


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (None, None),
        ({"input_tokens": None, "output_tokens": None}, {"output_tokens": None}),
        ({"input_tokens": 60_000, "output_tokens": 1}, {"output_tokens": -1_000_000}),
        ({"input_tokens": -1_000_000, "output_tokens": -1}, {"input_tokens": -1_000_000, "output_tokens": -1}),
        ({"input_tokens": 5.5, "output_tokens": 5.5}, {"output_tokens": 5.5}),
        ({"input_tokens": 60_000, "output_tokens": 1}, {"input_tokens": 0, "output_tokens": 0}),
        ({"input_tokens": 10**30}, {"output_tokens": 10**30}),
    ],
    ids=str,
)
def test_counts_usage_with_invalid_figures(api_env: ApiEnv, upstream: Upstream, first: Any, last: Any) -> None:
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last}
    upstream.say({"type": "message_start", "message": {"usage": first}}, *said("Hello."), end, STOP)
    body = strict(say(api_env.chat_as(), "Hi"))
    usage = body["usage"]
    assert usage["input_tokens"] >= (60_000 if first and first["input_tokens"] == 60_000 else 1)
    assert usage["output_tokens"] >= 2
    assert usage["estimated"] is True
    assert float(usage["cost_usd"]) > 0
    entry = api_env.tenant_env.entry_of(body["run_id"])
    assert (entry.estimated, entry.tokens.input_tokens) == (True, usage["input_tokens"])
    assert_goes_on(api_env, body["session_id"])


def test_an_agent_without_tools_continues_a_session_with_tools(api_env: ApiEnv, upstream: Upstream) -> None:
    upstream.say(START, *called(CALL), reason("tool_use"), STOP)
    body = strict(say(api_env.chat_as(), "Hi"))
    admin = api_env.admin_as(ADMIN)
    (agent,) = admin.get("/v1/agents").json()["data"]
    assert admin.patch(f"/v1/agents/{agent['id']}", json={"tools": []}).status_code == 200
    assert_goes_on(api_env, body["session_id"])
    sent = upstream.requests[-1]
    assert sent["tool_choice"] == {"type": "none"}
    assert "calculator" not in {tool["name"] for tool in sent["tools"]}


def test_the_last_100_messages_of_a_turn_are_shown_to_the_next(api_env: ApiEnv, upstream: Upstream) -> None:
    admin = api_env.admin_as(ADMIN)
    (agent,) = admin.get("/v1/agents").json()["data"]
    assert admin.patch(f"/v1/agents/{agent['id']}", json={"max_iterations": 60}).status_code == 200
    for number in range(50):
        upstream.say(START, *called(CALL, call_id=f"toolu_{number}"), reason("tool_use"), STOP)
    body = strict(say(api_env.chat_as(), "Hi"))
    assert body["iterations"] == 51
    assert len(upstream.requests[-1]["messages"]) == 1 + 2 * 50, "the model sees its own rounds"
    assert_goes_on(api_env, body["session_id"])
    assert len(upstream.requests[-1]["messages"]) == 100 + 1, "the oldest of 51 rounds is left out"


@pytest.mark.parametrize("status", [429, 529])
def test_the_providers_retry_after_is_passed_on(api_env: ApiEnv, upstream: Upstream, status: int) -> None:
    upstream.answers = [httpx2.Response(status, headers={"retry-after": "3600"}) for _ in range(2)]
    response = say(api_env.chat_as(), "Hi")
    problem = assert_problem(response, 502, "MODEL_FAILED")
    assert response.headers["retry-after"] == "3600"
    assert "3600" in problem["detail"]
    events = stream(api_env.chat_as(), "Hi")
    assert (events[-1].data["retry_after_seconds"], events[-1].data["run_id"]) == (3_600, events[0].data["run_id"])


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
def test_logs_a_failure_once_with_its_reason(
    api_env: ApiEnv, upstream: Upstream, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.say(START, *said("I will."), reason("tool_use"), STOP)
    logs.logger().setLevel("WARNING")
    answer = api_env.chat_as().post(path, json={"message": "Hi"})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line.get("code") == "MODEL_FAILED"]
    run_id = json.loads(answer.text.split("data: ")[1].split("\n")[0] if "stream" in path else answer.text)["run_id"]
    assert line["run_id"] == run_id
    assert line["tenant_id"] == api_env.tenant_env.runs().table.tenant_id
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["internal"].endswith("request req_1: the stop reason is tool_use, and there is no tool call")
