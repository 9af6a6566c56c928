"""Successful responses of `POST /v1/messages` and `/v1/messages/count_tokens`: their bytes, and the model's input."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.builders.api_env import ApiEnv
from tests.builders.images import PNG

pytestmark = pytest.mark.loopback
MODEL = "claude-haiku-5-5"
WEATHER = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ASKS_WEATHER = 'How is it? [[tool=weather {"city":"Paris"}]]'


def ask(api_env: ApiEnv, *messages: Any, model: str = MODEL, headers: Any = None, **fields: Any) -> httpx2.Response:
    sent = [{"role": "user", "content": each} if isinstance(each, str) else each for each in messages]
    body = {"model": model, "max_tokens": 1000, "messages": sent, **fields}
    return api_env.chat_as().post("/v1/messages", json=body, headers=headers)


def answer(api_env: ApiEnv, *messages: Any, **fields: Any) -> dict[str, Any]:
    response = ask(api_env, *messages, **fields)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def events(response: httpx2.Response) -> Iterator[dict[str, Any]]:
    """Yield the data of the events of a stream. Assert that each has the name of its type."""
    assert response.status_code == 200, response.text
    *sent, end = response.text.split("\n\n")
    assert end == ""
    for each in sent:
        name, data = each.split("\n")
        found = json.loads(data.removeprefix("data: "))
        assert name == f"event: {found['type']}"
        yield found


def test_the_bytes_of_an_answer(api_env: ApiEnv) -> None:
    response = ask(api_env, "Hello there. [[echo]]")
    run = response.json()["id"].removeprefix("msg_")
    assert response.headers["request-id"] == response.headers["x-request-id"]
    assert response.text == (
        f'{{"id":"msg_{run}","type":"message","role":"assistant","model":"{MODEL}",'
        '"content":[{"type":"text","text":"Hello there."}],"stop_reason":"end_turn",'
        '"stop_sequence":null,"usage":{"input_tokens":32,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,'
        '"output_tokens":3,"service_tier":"standard"}}'
    )


def test_the_bytes_of_a_stream(api_env: ApiEnv) -> None:
    response = ask(api_env, "Hello there, dear. [[echo]] [[pieces=2]]", stream=True)
    counts = '"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":'
    message_id = next(events(response))["message"]["id"]
    assert response.text == (
        f'event: message_start\ndata: {{"type":"message_start","message":{{"id":"{message_id}","type":"message",'
        f'"role":"assistant","model":"{MODEL}","content":[],"stop_reason":null,"stop_sequence":null,'
        f'"usage":{{"input_tokens":0,{counts}0}}}}}}\n\n'
        'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        '"content_block":{"type":"text","text":""}}\n\n'
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"Hello the"}}\n\n'
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"re, dear."}}\n\n'
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        f'"usage":{{"input_tokens":37,{counts}5}}}}\n\n'
        'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )


def test_thinking_is_shown_if_it_was_asked_for(api_env: ApiEnv) -> None:
    asked, thinking = "[[thinking=Let me see.]] Hi [[echo]]", {"type": "adaptive"}
    shown = answer(api_env, asked, thinking=thinking)["content"]
    assert [block["type"] for block in shown] == ["thinking", "text"]
    assert (shown[0]["thinking"], bool(shown[0]["signature"])) == ("Let me see.", True)
    assert [block["type"] for block in answer(api_env, asked)["content"]] == ["text"]
    streamed = list(events(ask(api_env, asked, thinking=thinking, stream=True)))
    kinds = [each["content_block"]["type"] for each in streamed if each["type"] == "content_block_start"]
    deltas = [each["delta"]["type"] for each in streamed if each["type"] == "content_block_delta"]
    assert (kinds, deltas) == (["thinking", "text"], ["thinking_delta", "signature_delta", "text_delta"])


def test_a_call_of_a_tool_is_returned_and_its_result_is_sent_to_the_model(api_env: ApiEnv) -> None:
    first = answer(api_env, f"[[preface=One moment.]] {ASKS_WEATHER}", tools=[WEATHER])
    text, call = first["content"]
    assert (first["stop_reason"], text["text"], call["type"]) == ("tool_use", "One moment.", "tool_use")
    assert (call["name"], call["input"], call["id"].startswith("toolu_")) == ("weather", {"city": "Paris"}, True)
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": "17 degrees"}]}
    history = ({"role": "assistant", "content": first["content"]}, {"role": "user", "content": [result]})
    second = answer(api_env, ASKS_WEATHER, *history, tools=[WEATHER])
    assert "17 degrees" in second["content"][0]["text"]
    assert second["stop_reason"] == "end_turn"


def test_the_events_of_a_call(api_env: ApiEnv) -> None:
    sent = list(events(ask(api_env, ASKS_WEATHER, tools=[WEATHER], stream=True)))
    assert [each["type"] for each in sent] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip
    assert sent[1]["content_block"] | {"id": ""} == {"type": "tool_use", "id": "", "name": "weather", "input": {}}
    assert sent[2]["delta"] == {"type": "input_json_delta", "partial_json": '{"city":"Paris"}'}
    assert sent[4]["delta"]["stop_reason"] == "tool_use"


def test_system_texts_images_and_results_with_images_reach_the_model(api_env: ApiEnv) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    call = {"type": "tool_use", "id": "toolu_own", "name": "camera", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_own", "content": [image], "is_error": False}
    history = ({"role": "assistant", "content": [call]}, {"role": "user", "content": [result]})
    camera = {"name": "camera", "input_schema": {"type": "object"}}
    answer(
        api_env, {"role": "user", "content": [{"type": "text", "text": "Look."}, image]}, *history,
        system=[{"type": "text", "text": "Be brief."}, {"type": "text", "text": "In English."}], tools=[camera],
    )  # fmt: skip
    sent = api_env.sent_bodies()[-1]
    assert sent["system"][0]["text"] == "Be brief.\n\nIn English."
    assert [block["type"] for block in sent["messages"][0]["content"]] == ["text", "image"]
    assert sent["messages"][2]["content"][0]["content"][0]["type"] == "image"


def test_the_stop_sequence_is_reported(api_env: ApiEnv) -> None:
    asked = "one two three [[echo]]"
    body = answer(api_env, asked, stop_sequences=["two"])
    assert (body["stop_reason"], body["stop_sequence"], body["content"][0]["text"]) == ("stop_sequence", "two", "one ")
    streamed = list(events(ask(api_env, asked, stop_sequences=["two"], stream=True)))
    assert streamed[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "two"}


def test_an_agent_has_its_prompt_and_tools(api_env: ApiEnv) -> None:
    agent = {"name": "helper", "model": MODEL, "system_prompt": "Be an agent.", "tools": ["calculator"]}
    agent_id = api_env.admin_as().post("/v1/agents", json=agent).json()["id"]
    body = answer(api_env, "What is 6*7?", model=agent_id, system="Speak French.")
    assert "42" in body["content"][-1]["text"]
    assert api_env.sent_bodies()[-1]["system"][0]["text"] == "Be an agent.\n\nSpeak French."
    assert body["usage"]["input_tokens"] > 100  # of two model calls


def test_counts_the_tokens_of_a_prompt_without_charging(api_env: ApiEnv) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello there. [[echo]]"}]}
    client = api_env.chat_as()
    counted = client.post("/v1/messages/count_tokens?beta=true", json=body)
    assert (counted.status_code, counted.json()) == (200, {"input_tokens": 32})
    assert answer(api_env, "Hello there. [[echo]]")["usage"]["input_tokens"] == 32
    of_another = client.post("/v1/messages/count_tokens", json={**body, "model": "gpt-6-luna"})
    assert of_another.json()["input_tokens"] > 0
    assert len(client.get("/v1/runs").json()["data"]) == 1


def test_the_limits_are_in_the_headers(api_env: ApiEnv) -> None:
    headers = ask(api_env, "Hi", metadata={"user_id": "ann"}).headers
    assert headers["anthropic-ratelimit-requests-limit"] == "1500"
    assert headers["anthropic-ratelimit-requests-remaining"] == "1499"
    assert headers["anthropic-ratelimit-tokens-reset"].endswith("Z")


def test_models_are_listed_in_anthropics_format(api_env: ApiEnv) -> None:
    client = api_env.chat_as()
    version = {"anthropic-version": "2023-06-01"}
    whole = client.get("/v1/models", headers=version).json()
    ids = [each["id"] for each in whole["data"]]
    assert {"type", "id", "display_name", "created_at"} == set(whole["data"][0])
    assert (whole["first_id"], whole["last_id"], whole["has_more"]) == (ids[0], ids[-1], False)
    page = client.get("/v1/models", headers=version, params={"limit": 2, "after_id": ids[0]}).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (ids[1:3], True)
    before = client.get("/v1/models", headers=version, params={"limit": 1, "before_id": ids[2]}).json()
    assert ([each["id"] for each in before["data"]], before["has_more"]) == ([ids[1]], True)
    assert client.get("/v1/models", headers=version, params={"after_id": "no-such"}).status_code == 422
    assert set(ids) == {each["id"] for each in client.get("/v1/models").json()["data"]}
