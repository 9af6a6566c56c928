"""Requests that Anthropic's API rejects are rejected with the same status and error type."""

import json

import anthropic
import httpx
import pytest
from anthropic.types import ToolUseBlockParam
from pydantic import JsonValue

from tests.unit.model_server.builders import JsonObject, ask, body

pytestmark = pytest.mark.loopback

USE: JsonObject = {"type": "tool_use", "id": "toolu_1", "name": "calculator", "input": {}}
OTHER_USE: JsonObject = {**USE, "id": "toolu_2"}
RESULT: JsonObject = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}
TEXT: JsonObject = {"type": "text", "text": "Go on."}


def said(role: str, *blocks: JsonValue) -> JsonObject:
    return {"role": role, "content": list(blocks)}


def refuse(http: httpx.Client, sent: JsonValue, status: int = 400, kind: str = "invalid_request_error") -> str:
    response = http.post("/v1/messages", json=sent)
    answer = response.json()
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert answer["type"] == "error"
    assert answer["request_id"] == response.headers["request-id"]
    assert answer["error"]["type"] == kind
    message = answer["error"]["message"]
    assert isinstance(message, str)
    return message


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ([said("assistant", USE), "Well?"], "messages.1: `tool_use` ids were found without `tool_result` blocks"),
        ([said("assistant", USE)], "messages.1: `tool_use` ids were found without `tool_result` blocks"),
        ([said("assistant", USE, OTHER_USE), said("user", RESULT)], "immediately after: toolu_2"),
        ([said("assistant", TEXT), said("user", RESULT)], "messages.2: unexpected `tool_use_id`"),
        ([said("user", RESULT)], "messages.0: unexpected `tool_use_id`"),
        ([said("assistant", USE), said("user", TEXT, RESULT)], "must come before other content"),
        ([said("assistant", USE), said("user", RESULT, RESULT)], "must have a single result"),
        ([said("assistant", USE, USE), said("user", RESULT)], "ids must be unique"),
        ([said("user", USE)], "can only be in `assistant` messages"),
        ([said("assistant", RESULT)], "can only be in `user` messages"),
        ([said("assistant", TEXT)], "must end with a user message"),
    ],
)
def test_tool_history_must_be_whole(http: httpx.Client, history: list[JsonObject | str], message: str) -> None:
    first = [] if history[0] == said("user", RESULT) else ["Go."]
    assert message in refuse(http, body(*first, *history))


def test_one_turn_may_be_several_messages(http: httpx.Client) -> None:
    sent = body("Go.", said("assistant", USE), said("assistant", OTHER_USE), said("user", RESULT))
    both = body(
        "Go.",
        said("assistant", USE),
        said("assistant", OTHER_USE),
        said("user", RESULT),
        said("user", {**RESULT, "tool_use_id": "toolu_2"}),
    )
    assert "immediately after: toolu_2" in refuse(http, sent)
    assert http.post("/v1/messages", json=both).status_code == 200


TOOL: JsonObject = {"name": "a", "input_schema": {"type": "object"}}
BETWEEN: JsonObject = {"type": "between_tools"}


def output(schema: JsonObject) -> JsonObject:
    return {"format": {"type": "json_schema", "schema": schema}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_tokens": None}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": "100"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"max_tokens": 128_001}, "max_tokens: 128001 > 128000"),
        ({"messages": []}, "messages: List should have at least 1 item"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: Input should be 'user'"),
        (
            {"messages": [{"role": "user", "content": ""}]},
            "messages.0.content.0.text.text: String should have at least 1",
        ),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0.content: Value should have at least 1 item"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages.0.content.0.other.type: Input"),
        (
            {"messages": [{"role": "user", "content": [{**TEXT, "parsed": 1}]}]},
            "messages.0.content.0.text.parsed: Extra inputs are not permitted",
        ),
        ({"temperature": 0.5}, "temperature: Extra inputs are not permitted"),
        ({"unknown": 1}, "unknown: Extra inputs are not permitted"),
        ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "tools.0.name: String should match"),
        ({"tools": [{"name": "a"}]}, "input_schema must be a JSON schema whose type is object"),
        ({"tools": [{"name": "a", "input_schema": {"type": "object"}}] * 2}, "tools: Tool names must be unique."),
        ({"tool_choice": {"type": "any"}}, "tool_choice: `any` may only be specified while providing tools"),
        ({"tool_choice": {"type": "tool", "name": "x"}}, "tool_choice: Tool 'x' not found in provided tools"),
        ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, "`max_tokens` must be greater than"),
        ({"thinking": {"type": "between_tools"}}, '"thinking.type.between_tools" is not supported'),
        ({"model": "claude-sonnet-5-5", "thinking": {"type": "disabled"}}, '"thinking.type.disabled" is not supported'),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}, "thinking": {"type": "adaptive"}}, "Thinking may not be"),
        (
            {"model": "claude-sonnet-5-5", "tools": [TOOL], "tool_choice": {"type": "any"}, "thinking": BETWEEN},
            "Thinking may not be",
        ),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}, "not supported without thinking"),
        ({"output_config": {"effort": "none"}}, "output_config.effort: Input should be"),
        ({"output_config": output({"type": "object"})}, "'additionalProperties' must be false"),
        ({"output_config": output({"anyOf": [{"type": "object"}]})}, "'additionalProperties' must be false"),
    ],
)
def test_fields_must_fit(http: httpx.Client, changes: JsonObject, message: str) -> None:
    assert message in refuse(http, body(**changes))


def test_sampling_is_gone_since_a_version_only(http: httpx.Client) -> None:
    older = {"anthropic-version": "2023-06-01"}
    sent = body(temperature=0.5, top_p=1, top_k=40)
    assert http.post("/v1/messages", json=sent, headers=older).status_code == 200


def test_a_beta_may_have_fields_of_its_own(http: httpx.Client) -> None:
    sent = body(context_management={"edits": []})
    assert http.post("/v1/messages", json=sent, headers={"anthropic-beta": "context-management"}).status_code == 200


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"max_tokens": NaN}', b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"[" * 10_000]
)
def test_a_body_must_be_json(http: httpx.Client, content: bytes) -> None:
    response = http.post("/v1/messages", content=content)
    assert response.status_code == 400
    assert "not valid JSON" in response.json()["error"]["message"]


@pytest.mark.parametrize("sent", [[], "text", 7])
def test_a_body_must_be_an_object(http: httpx.Client, sent: JsonValue) -> None:
    assert "valid dictionary" in refuse(http, sent)


def test_a_prompt_has_a_size(http: httpx.Client) -> None:
    assert "prompt is too long: 10000" in refuse(http, body("x" * 4_000_000))


def test_a_body_has_a_size(http: httpx.Client) -> None:
    response = http.post("/v1/messages", content=b" " * (32 * 1024 * 1024 + 1))
    assert (response.status_code, response.json()["error"]["type"]) == (413, "request_too_large")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_an_unknown_model_is_not_found(http: httpx.Client, path: str) -> None:
    sent = body(model="claude-none")
    if path.endswith("count_tokens"):
        del sent["max_tokens"]
    response = http.post(path, json=sent)
    assert response.status_code == 404
    assert response.json()["error"] == {"type": "not_found_error", "message": "model: claude-none"}


@pytest.mark.parametrize(
    ("path", "method"),
    [("/v1/messages", "POST"), ("/v1/messages/count_tokens", "POST"), ("/v1/models", "GET"), ("/v1/models/x", "GET")],
)
def test_a_key_and_a_version_are_required(http: httpx.Client, path: str, method: str) -> None:
    sent = json.dumps(body()).encode()
    with httpx.Client(base_url=http.base_url, trust_env=False) as bare:
        keyless = bare.request(method, path, content=sent, headers={"anthropic-version": "2023-06-01"})
        blank = bare.request(method, path, content=sent, headers={"anthropic-version": "2023-06-01", "x-api-key": ""})
        basic = bare.request(method, path, content=sent, headers={"authorization": "Basic Zm9vOmJhcg=="})
        versionless = bare.request(method, path, content=sent, headers={"x-api-key": "k"})
    for refused in (keyless, blank, basic):
        assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")
    assert versionless.status_code == 400
    assert versionless.json()["error"]["message"] == "anthropic-version: header is required"


def test_a_wrong_key_is_rejected(http: httpx.Client) -> None:
    versioned = {"x-api-key": "sk-wrong", "anthropic-version": "2023-06-01"}
    bearer = {"authorization": "Bearer sk-wrong"}
    with httpx.Client(base_url=http.base_url, trust_env=False) as bare:
        refused = [
            bare.get("/v1/models", headers=versioned),
            bare.post("/v1/messages", json=body(), headers=versioned),
            bare.get("/v1/models", headers=bearer),
            bare.post("/v1/chat/completions", json={}, headers=bearer),
        ]
        accepted = bare.get("/v1/models", headers={"authorization": "Bearer sk-any"})
    assert [response.status_code for response in refused] == [401] * 4
    assert (accepted.status_code, accepted.json()) == (200, {"object": "list", "data": []})


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/v1/messages"), ("POST", "/v1/complete")])
def test_an_unknown_route_is_not_found(http: httpx.Client, method: str, path: str) -> None:
    response = http.request(method, path)
    assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found_error")


def test_the_sdk_reads_the_refusal(client: anthropic.Anthropic) -> None:
    call: ToolUseBlockParam = {"type": "tool_use", "id": "toolu_1", "name": "calculator", "input": {}}
    with pytest.raises(anthropic.BadRequestError, match="tool_result") as caught:
        ask(client, "Go.", {"role": "assistant", "content": [call]}, "Well?")
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id
