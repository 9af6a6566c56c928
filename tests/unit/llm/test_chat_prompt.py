"""The translation of a conversation into a request to a Chat Completions API."""

import json
from dataclasses import replace
from typing import Any

import pytest
from atrium.llm.catalogue import find_model
from atrium.llm.model import (
    UNSIGNED,
    Block,
    ModelMessage,
    ModelRequest,
    Role,
    Text,
    Thinking,
    ToolResult,
    ToolSchema,
    ToolUse,
)
from atrium.llm.openai.wire import CALL_ID_MAX, DIALECTS, request_params

from tests.builders.chunks import MODELS, sent_body
from tests.builders.images import PNG, image

URL = {"url": f"data:image/png;base64,{PNG}"}
TOOL = ToolSchema("calculator", "Calculates.", {"type": "object", "properties": {}})


def request_of(*messages: tuple[Role, tuple[Block, ...]], **fields: Any) -> ModelRequest:
    return ModelRequest(MODELS["openai"], "", tuple(ModelMessage(*each) for each in messages), 10, **fields)


def send(*messages: tuple[Role, tuple[Block, ...]], vendor: str = "openai") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = sent_body(request_of(*messages), vendor=vendor)["messages"]
    return sent


def test_streams_with_usage_and_the_vendors_limit_of_output() -> None:
    request = replace(request_of(("user", (Text("Hi"),))), system="Be brief.")
    assert sent_body(request) == {
        "model": "gpt-6-luna",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "max_completion_tokens": 10,
    }
    zhipu = sent_body(request, vendor="zhipu")
    assert (zhipu["max_tokens"], "max_completion_tokens" in zhipu) == (10, False)


def test_openai_calls_tools_only_without_reasoning() -> None:
    request = request_of(("user", (Text("Hi"),)), tools=(TOOL,), tool_choice="none")
    body = sent_body(request)
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "calculator", "description": "Calculates.", "parameters": dict(TOOL.input_schema)},
        }
    ]
    assert (body["reasoning_effort"], body["tool_choice"]) == ("none", "none")
    assert not {"reasoning_effort", "tool_choice"} & sent_body(request, vendor="zhipu").keys()
    assert "tool_choice" not in sent_body(replace(request, tool_choice="auto"))


@pytest.mark.parametrize(("temperature", "sent"), [(0.0, 0.0), (0.5, 0.5), (1.7, 1.0)])
def test_zhipu_gets_a_temperature_of_at_most_1(temperature: float, sent: float) -> None:
    request = request_of(("user", (Text("Hi"),)), temperature=temperature)
    assert sent_body(request, vendor="zhipu")["temperature"] == sent


def test_results_follow_their_calls_and_precede_the_users_text() -> None:
    assert send(
        ("user", (Text("a"), Text(" "), Text("b"))),
        ("assistant", (Text("I will."), ToolUse("call_1", "calculator", {"x": "ü"}), ToolUse("call_2", "now", {}))),
        ("user", (ToolResult("call_1", "6"), ToolResult("call_2", "broken", is_error=True), Text("and?"))),
    ) == [
        {"role": "user", "content": "a\n\nb"},
        {
            "role": "assistant",
            "content": "I will.",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "calculator", "arguments": '{"x":"ü"}'},
                },
                {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "6"},
        {"role": "tool", "tool_call_id": "call_2", "content": "Error: broken"},
        {"role": "user", "content": "and?"},
    ]


def test_images_of_results_are_sent_after_the_results() -> None:
    result = ToolResult("call_1", (Text("a chart"), image()))
    sent = send(
        ("user", (Text("Look."), image())),
        ("assistant", (ToolUse("call_1", "draw", {}), ToolUse("call_2", "now", {}))),
        ("user", (result, ToolResult("call_2", "12:00"))),
    )
    shown = {"type": "image_url", "image_url": {**URL, "detail": "high"}}
    assert sent[0]["content"] == [{"type": "text", "text": "Look."}, shown]
    assert [message["role"] for message in sent[2:]] == ["tool", "tool", "user"]
    assert sent[2]["content"] == "a chart\nThe images of this result are in the next message of the user."
    assert sent[4]["content"] == [{"type": "text", "text": "Images of the result of the tool call call_1:"}, shown]


def test_zhipu_gets_images_without_a_detail() -> None:
    assert send(("user", (image(),)), vendor="zhipu")[0]["content"] == [{"type": "image_url", "image_url": URL}]


CONVERSATION: tuple[tuple[Role, tuple[Block, ...]], ...] = (
    ("user", (Text("first"),)),
    ("assistant", (Thinking("old", UNSIGNED), ToolUse("t1", "n", {}))),
    ("user", (ToolResult("t1", "1"), Text("second"))),
    ("assistant", (Thinking("foreign", "sig"), Thinking("", "blob", redacted=True), Thinking("own", UNSIGNED),
                   ToolUse("t2", "n", {}))),
    ("user", (ToolResult("t2", "2"),)),
)  # fmt: skip


def test_zhipu_gets_its_own_thinking_of_the_current_turn_back() -> None:
    reasoning = [message.get("reasoning_content") for message in send(*CONVERSATION, vendor="zhipu")]
    assert reasoning == [None, None, None, None, "own", None]


def test_openai_gets_no_thinking() -> None:
    assert not any("reasoning_content" in message for message in send(*CONVERSATION))


def test_omits_messages_without_content() -> None:
    sent = send(
        ("user", (Text("a"),)),
        ("assistant", (Thinking("hm", "sig"), Text(" "))),
        ("user", (Text("b"),)),
        vendor="zhipu",
    )
    assert sent == [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]


def test_shortens_ids_of_other_vendors_consistently() -> None:
    call_id, name = "i" * 128, "n" * 64
    other = f"{call_id[:-1]}x"
    sent = send(
        ("user", (Text("a"),)),
        ("assistant", (ToolUse(call_id, name, {}), ToolUse(other, "now", {}))),
        ("user", (ToolResult(call_id, "1"), ToolResult(other, "2"))),
    )
    calls = sent[1]["tool_calls"]
    assert [call["id"] for call in calls] == [message["tool_call_id"] for message in sent[2:]]
    assert len({call["id"] for call in calls}) == 2
    assert all(len(call["id"]) <= CALL_ID_MAX for call in calls)
    assert [call["function"]["name"] for call in calls] == [name, "now"]
    json.dumps(sent)


def test_a_reminder_is_the_last_message() -> None:
    request = ModelRequest(MODELS["openai"], "", (ModelMessage("user", (Text("Hi"),)),), 10)
    model, dialect = find_model(MODELS["openai"]), DIALECTS["openai"]
    assert model is not None
    plain = request_params(request, model, dialect)["messages"]
    reminded = request_params(replace(request, reminder="Finish."), model, dialect)["messages"]
    assert reminded == [*plain, {"role": "user", "content": "Finish."}]
