"""Successful responses of `POST /v1/chat/completions`: their bytes, and what reaches the model."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.builders.api_env import ADMIN, ApiEnv
from tests.builders.images import PNG

pytestmark = pytest.mark.loopback
MODEL = "claude-haiku-5-5"
ANY: Any = object()
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASKS_WEATHER = 'How is it? [[tool=weather {"city":"Paris"}]]'


def ask(api_env: ApiEnv, *messages: Any, model: str = MODEL, headers: Any = None, **fields: Any) -> httpx2.Response:
    sent = [{"role": "user", "content": each} if isinstance(each, str) else each for each in messages]
    body = {"model": model, "messages": sent, **fields}
    return api_env.chat_as().post("/v1/chat/completions", json=body, headers=headers)


def answer(api_env: ApiEnv, *messages: Any, **fields: Any) -> dict[str, Any]:
    response = ask(api_env, *messages, **fields)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def chunks(response: httpx2.Response) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a stream. Assert that each event is one line, and that the last is `[DONE]`."""
    assert response.status_code == 200, response.text
    *events, end = response.text.split("\n\n")
    assert (end, events[-1]) == ("", "data: [DONE]")
    for event in events[:-1]:
        assert event.startswith("data: ")
        yield json.loads(event.removeprefix("data: "))


def make_agent(api_env: ApiEnv, **fields: Any) -> str:
    body = {"name": "helper", "model": MODEL, "system_prompt": "Be an agent.", "tools": ["calculator"], **fields}
    response = api_env.admin_as().post("/v1/agents", json=body)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def test_the_bytes_of_an_answer(api_env: ApiEnv) -> None:
    response = ask(api_env, "Hello there. [[echo]]")
    body = response.json()
    run = body["id"].removeprefix("chatcmpl-")
    assert response.headers["content-type"] == "application/json"
    assert response.text == (
        f'{{"id":"chatcmpl-{run}","object":"chat.completion","created":{body["created"]},"model":"{MODEL}",'
        '"choices":[{"index":0,"message":{"role":"assistant","content":"Hello there.","refusal":null,"annotations":[]},'
        '"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":32,"completion_tokens":3,"total_tokens":35,'
        '"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0}},"service_tier":"default",'
        '"system_fingerprint":null}'
    )
    assert isinstance(body["created"], int)


def test_the_bytes_of_a_stream(api_env: ApiEnv) -> None:
    response = ask(
        api_env, "Hello there, dear. [[echo]] [[pieces=2]]", stream=True, stream_options={"include_usage": True}
    )
    head = json.loads(response.text.partition("\n\n")[0].removeprefix("data: "))
    start = (
        f'data: {{"id":"{head["id"]}","object":"chat.completion.chunk","created":{head["created"]},"model":"{MODEL}",'
    )
    end = ',"service_tier":"default","system_fingerprint":null,"usage":'

    def chunk(delta: str, finish: str = "null") -> str:
        choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}'
        return f'{start}"choices":[{choice}]{end}null}}\n\n'

    usage = response.text.rpartition('"usage":')[2].partition("}}")[0] + "}}"
    assert response.text == (
        chunk('{"role":"assistant","content":"","refusal":null}')
        + chunk('{"content":"Hello the"}')
        + chunk('{"content":"re, dear."}')
        + chunk("{}", '"stop"')
        + f'{start}"choices":[]{end}{usage}}}\n\ndata: [DONE]\n\n'
    )
    assert json.loads(usage)["completion_tokens"] == 5


def test_a_call_of_a_function_is_returned_and_its_result_is_sent_to_the_model(api_env: ApiEnv) -> None:
    first = answer(api_env, ASKS_WEATHER, tools=[WEATHER])
    message = first["choices"][0]["message"]
    (call,) = message["tool_calls"]
    assert (first["choices"][0]["finish_reason"], message["content"]) == ("tool_calls", None)
    assert call == {
        "id": ANY_CALL,
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
    }
    assert len(call["id"]) <= 40
    result = {"role": "tool", "tool_call_id": call["id"], "content": "17 degrees"}
    second = answer(api_env, ASKS_WEATHER, message, result, tools=[WEATHER])
    assert "17 degrees" in second["choices"][0]["message"]["content"]
    assert second["choices"][0]["finish_reason"] == "stop"
    sent = api_env.sent_bodies()[-1]
    assert [each["name"] for each in sent["tools"]] == ["weather"]
    asked, answered = sent["messages"][1:]
    assert asked["content"] == [{"type": "tool_use", "id": call["id"], "name": "weather", "input": {"city": "Paris"}}]
    (found,) = answered["content"]
    assert (found["type"], found["tool_use_id"], found["content"]) == ("tool_result", call["id"], "17 degrees")


class _AnyCall:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other.startswith("call_")

    __hash__ = object.__hash__


ANY_CALL = _AnyCall()


def test_the_chunks_of_a_call(api_env: ApiEnv) -> None:
    deltas = [each["choices"][0] for each in chunks(ask(api_env, ASKS_WEATHER, tools=[WEATHER], stream=True))]
    begun, rest = (each["delta"]["tool_calls"][0] for each in deltas[1:3])
    assert begun == {"id": ANY_CALL, "type": "function", "index": 0, "function": {"name": "weather", "arguments": ""}}
    assert rest == {"index": 0, "function": {"arguments": '{"city":"Paris"}'}}
    assert deltas[3]["finish_reason"] == "tool_calls"


def test_an_agent_calls_its_own_tools_and_the_caller_sees_only_theirs(api_env: ApiEnv) -> None:
    make_agent(api_env)
    mixed = 'Go. [[tool=calculator {"expression":"6*7"}]] [[tool=weather {"city":"Oslo"}]]'
    first = answer(api_env, mixed, model="helper", tools=[WEATHER])
    message = first["choices"][0]["message"]
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["weather"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "rain"}
    second = answer(api_env, mixed, message, result, model="helper", tools=[WEATHER])
    assert second["choices"][0]["finish_reason"] == "stop"
    sent = api_env.sent_bodies()[-1]
    assert sent["system"][0]["text"] == "Be an agent."
    calls, results = sent["messages"][1]["content"], sent["messages"][2]["content"]
    assert [block["name"] for block in calls] == ["calculator", "weather"]
    assert ["42" in str(results[0]["content"]), results[1]["content"]] == [True, "rain"]


def test_the_thinking_of_the_turn_is_restored(api_env: ApiEnv) -> None:
    asked = f"[[thinking=Let me see.]] {ASKS_WEATHER}"
    message = answer(api_env, asked, tools=[WEATHER])["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "snow"}
    answer(api_env, asked, message, result, tools=[WEATHER])
    blocks = api_env.sent_bodies()[-1]["messages"][1]["content"]
    assert [block["type"] for block in blocks] == ["thinking", "tool_use"]
    assert blocks[0]["thinking"] == "Let me see."


def test_system_messages_and_the_conversation_reach_the_model(api_env: ApiEnv) -> None:
    earlier = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "In English."}]},
    ]
    told = {"role": "assistant", "content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "Ada."}]}
    answer(api_env, *earlier, "My name is Ada.", told, "What is my name?")
    sent = api_env.sent_bodies()[-1]
    assert sent["system"][0]["text"] == "Be brief.\n\nIn English."
    assert [each["role"] for each in sent["messages"]] == ["user", "assistant", "user"]


def test_an_image_reaches_the_model(api_env: ApiEnv) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    body = answer(api_env, {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]})
    assert "1 image" in body["choices"][0]["message"]["content"]


def test_a_call_belongs_to_no_session(api_env: ApiEnv) -> None:
    body = answer(api_env, "Hi", user="ann", metadata={"ticket": "7"})
    run_id = "run_" + body["id"].removeprefix("chatcmpl-")
    run = api_env.chat_as().get(f"/v1/runs/{run_id}").json()
    assert (run["session_id"], run["agent_id"], run["status"]) == (None, None, "succeeded")
    assert (run["end_user"], run["metadata"], run["model"]) == ("ann", {"ticket": "7"}, MODEL)
    assert api_env.sessions_as(ADMIN).get("/v1/sessions").json()["data"] == []
    entry = api_env.tenant_env.entry_of(run_id)
    assert entry.total_tokens == body["usage"]["total_tokens"]
    assert not entry.new_session


def test_a_call_can_be_a_turn_of_a_session(api_env: ApiEnv) -> None:
    session_id = api_env.sessions_as().post("/v1/sessions", json={}).json()["id"]
    headers = {"X-Session-ID": session_id}
    answer(api_env, "My name is Ada.", headers=headers)
    ignored = [{"role": "user", "content": "No."}, {"role": "assistant", "content": "Never mind."}]
    second = answer(api_env, *ignored, "What is my name?", headers=headers)
    assert "Ada" in second["choices"][0]["message"]["content"]
    messages = api_env.sessions_as().get(f"/v1/sessions/{session_id}/messages").json()["data"]
    assert [each["role"] for each in messages] == ["user", "assistant"] * 2


def test_a_function_call_in_a_session_continues_with_its_result(api_env: ApiEnv) -> None:
    session_id = api_env.sessions_as().post("/v1/sessions", json={}).json()["id"]
    headers = {"X-Session-ID": session_id}
    message = answer(api_env, ASKS_WEATHER, tools=[WEATHER], headers=headers)["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "hail"}
    second = answer(api_env, result, tools=[WEATHER], headers=headers)
    assert "hail" in second["choices"][0]["message"]["content"]


def test_the_limits_are_in_the_headers(api_env: ApiEnv) -> None:
    headers = ask(api_env, "Hi").headers
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("1500", "1499")
    assert int(headers["x-ratelimit-limit-tokens"]) > int(headers["x-ratelimit-remaining-tokens"])
    assert headers["x-ratelimit-reset-requests"].removesuffix("s").isdecimal()


@pytest.mark.parametrize(("stop", "finish"), [("max_tokens", "length"), ("refusal", "content_filter")])
def test_the_finish_reasons(api_env: ApiEnv, stop: str, finish: str) -> None:
    assert answer(api_env, f"Hi [[stop={stop}]]")["choices"][0]["finish_reason"] == finish


def test_a_repeated_call_with_a_key_is_replayed(api_env: ApiEnv) -> None:
    headers = {"Idempotency-Key": "once"}
    first, second = (ask(api_env, "Hi", headers=headers) for _ in range(2))
    assert (second.headers["idempotency-replayed"], second.text) == ("true", first.text)
    streamed = [ask(api_env, "Hi", stream=True, headers={"Idempotency-Key": "flow"}) for _ in range(2)]
    assert streamed[0].text == streamed[1].text


def test_a_tool_that_needs_approval_is_refused_to_the_model(api_env: ApiEnv) -> None:
    make_agent(api_env, require_approval=["calculator"])
    body = answer(api_env, 'Go. [[tool=calculator {"expression":"6*7"}]]', model="helper")
    assert "approval" in body["choices"][0]["message"]["content"]


def test_a_forced_choice_applies_to_the_first_call_only(api_env: ApiEnv) -> None:
    make_agent(api_env)
    answer(api_env, "What is 6*7?", model="helper", tools=[WEATHER], tool_choice="required")
    choices = [body.get("tool_choice", {}).get("type") for body in api_env.sent_bodies()]
    assert choices[0] == "any"
    assert set(choices[1:]) <= {"auto", None}
