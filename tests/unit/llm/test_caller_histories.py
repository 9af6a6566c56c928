"""Histories that callers write: every vendor accepts them after the repair, and what they say is kept."""

import json
import time
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from atrium.kernel.errors import ModelFailed
from atrium.llm.model import (
    UNSIGNED,
    Block,
    Completed,
    ModelMessage,
    ModelRequest,
    Role,
    Text,
    Thinking,
    ToolResult,
    ToolSchema,
    ToolUse,
)
from atrium.llm.normalise import NO_RESULT, repair_messages, repair_request

from infra.local.model_server.chat_request import read_chat
from infra.local.model_server.protocol import ApiError, sign
from tests.builders import chunks, upstream
from tests.builders.images import PNG, image

TOOL = ToolSchema("look", "Looks.", {"type": "object", "properties": {}})
ASK = ModelMessage("user", (Text("What is it?"),))
type History = tuple[tuple[Role, tuple[Block, ...]], ...]

HISTORIES: dict[str, History] = {
    "ids of another vendor": (
        ("assistant", (ToolUse("fc_1|item/2 =", "look", {}), ToolUse("x" * 300, "look", {"a": [1]}))),
        ("user", (ToolResult("x" * 300, "2"), ToolResult("fc_1|item/2 =", "1"))),
    ),
    "an id in each turn": (
        ("assistant", (ToolUse("call_1", "look", {}),)),
        ("user", (ToolResult("call_1", "1"), Text("Again."))),
        ("assistant", (ToolUse("call_1", "look", {}),)),
        ("user", (ToolResult("call_1", "2"),)),
    ),
    "several messages of the assistant": (
        ("assistant", (Text("I will"),)),
        ("assistant", (ToolUse("a", "look", {}),)),
        ("assistant", (Text("look."), ToolUse("b", "look", {}))),
        ("user", (ToolResult("b", "2"),)),
        ("user", (ToolResult("a", "1"),)),
    ),
    "a text between the results": (
        ("assistant", (ToolUse("a", "look", {}), ToolUse("b", "look", {}))),
        ("user", (ToolResult("a", "1"), Text("Wait."))),
        ("user", (ToolResult("b", "2"),)),
    ),
    "no results": (
        ("assistant", (ToolUse("a", "look", {}),)),
        ("user", (Text("Forget it."),)),
        ("assistant", (Text("Done."),)),
        ("user", (ToolResult("a", "late"),)),
    ),
    "an image as a result": (
        ("assistant", (ToolUse("a", "look", {}),)),
        ("user", (ToolResult("a", (image(), Text("a plot")), is_error=True),)),
    ),
    "thinking of another party": (
        ("assistant", (Thinking("hm", "signed elsewhere"), ToolUse("a", "look", {}))),
        ("user", (ToolResult("a", "1"),)),
    ),
    "thinking without a signature": (
        ("assistant", (Thinking("hm", ""), Thinking("", "", redacted=True), Thinking("so", UNSIGNED), Text("Yes."))),
        ("user", (Text("Sure?"),)),
    ),
    "only thinking": (("assistant", (Thinking("hm", "signed elsewhere"),)),),
    "thinking at the end": (
        ("assistant", (ToolUse("a", "look", {}), Thinking("hm", "signed elsewhere"))),
        ("user", (ToolResult("a", "1"),)),
    ),
    "blocks of the wrong role": (
        ("user", (ToolUse("a", "look", {}), Thinking("hm", "s"), Text("I am you."))),
        ("assistant", (image(), ToolResult("a", "1"))),
    ),
    "a name and arguments that no tool has": (
        ("assistant", (ToolUse("a", "look at it!", {"x": float("nan"), "y": "\ud83d"}),)),
        ("user", (ToolResult("a", "\ude00"),)),
    ),
    "a prefilled answer": (("assistant", (Text("It is"),)),),
}


def request_of(history: History, *, has_tools: bool = True) -> ModelRequest:
    messages = (ASK, *(ModelMessage(*each) for each in history))
    return ModelRequest("claude-haiku-5-5", "", messages, 100, (TOOL,) if has_tools else ())


def send(request: ModelRequest, vendor: str) -> dict[str, Any]:
    """Send a repaired request. Return the body that the vendor accepts."""
    repaired = repair_request(request)
    if vendor == "anthropic":
        handler = upstream.Upstream()
        (*_, end) = upstream.provider_over(handler).open(repaired, deadline_seconds=5)
        assert isinstance(end, Completed)
        return handler.requests[-1]
    body = chunks.sent_body(repaired, vendor=vendor)
    read_chat(body)
    return body


@pytest.mark.parametrize("has_tools", [True, False])
@pytest.mark.parametrize("vendor", ["anthropic", "openai", "zhipu"])
@pytest.mark.parametrize("name", HISTORIES)
def test_every_vendor_accepts_a_callers_history(name: str, vendor: str, has_tools: bool) -> None:
    history = HISTORIES[name]
    body = json.dumps(send(request_of(history, has_tools=has_tools), vendor), ensure_ascii=False)
    for role, blocks in history:
        for block in blocks:
            if isinstance(block, Text):
                assert block.text in body
            if isinstance(block, ToolResult) and block.content in {"1", "2"} and role == "user":
                assert f'"{block.content}"' in body
    assert (PNG in body) is (name == "an image as a result")


def test_results_keep_their_calls_in_any_order() -> None:
    _, calls, results = repair_messages([ASK, *(ModelMessage(*each) for each in HISTORIES["ids of another vendor"])])
    asked = [block.id for block in calls.content if isinstance(block, ToolUse)]
    answered = {block.tool_use_id: block.content for block in results.content if isinstance(block, ToolResult)}
    assert answered == dict(zip(asked, ["1", "2"], strict=True))


def thinking_sent(body: dict[str, Any]) -> list[str]:
    return [block["thinking"] for each in body["messages"] for block in each["content"] if block["type"] == "thinking"]


def test_thinking_with_a_valid_signature_is_sent_once() -> None:
    handler, turn = upstream.Upstream(), HISTORIES["thinking of another party"]
    signed = replace(request_of(turn), messages=(ASK, *_with_signature(turn, sign("hm"))))
    list(upstream.provider_over(handler).open(repair_request(signed), deadline_seconds=5))
    assert [thinking_sent(each) for each in handler.requests] == [["hm"]]


def _with_signature(history: History, signature: str) -> list[ModelMessage]:
    return [
        ModelMessage(
            role,
            tuple(replace(each, signature=signature) if isinstance(each, Thinking) else each for each in blocks),
        )
        for role, blocks in history
    ]


def test_a_request_that_is_rejected_with_thinking_is_sent_once_more_without_it() -> None:
    handler = upstream.Upstream()
    request = repair_request(request_of(HISTORIES["thinking of another party"]))
    *_, end = upstream.provider_over(handler, retries=0).open(request, deadline_seconds=5)
    assert isinstance(end, Completed)
    assert [thinking_sent(each) for each in handler.requests] == [["hm"], []]
    assert len(handler.refusals) == 1
    # the answer is built for the request that was sent
    assert end.stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("name", "status", "calls"),
    [
        ("thinking of another party", 400, 2),
        ("thinking of another party", 401, 1),
        ("an id in each turn", 400, 1),
        ("thinking without a signature", 400, 1),  # it is of an earlier turn
    ],
)
def test_no_other_rejection_is_repeated(name: str, status: int, calls: int) -> None:
    received: list[httpx2.Request] = []

    def reject(request: httpx2.Request) -> httpx2.Response:
        received.append(request)
        return httpx2.Response(status, json=ApiError(status, "no").body("req_1"))

    with pytest.raises(ModelFailed):
        list(upstream.provider_over(reject).open(repair_request(request_of(HISTORIES[name])), deadline_seconds=5))
    assert len(received) == calls


def test_thinking_is_omitted_where_the_request_disables_it() -> None:
    signed = replace(
        request_of(()), messages=(ASK, *_with_signature(HISTORIES["thinking of another party"], sign("hm")))
    )
    assert thinking_sent(send(replace(signed, thinking="off"), "anthropic")) == []
    assert thinking_sent(send(replace(signed, tool_choice="required"), "anthropic")) == []
    assert thinking_sent(send(replace(signed, thinking="off", model="claude-sonnet-5-5"), "anthropic")) == ["hm"]


def test_the_repair_takes_linear_time() -> None:
    """A request has space for more calls and messages than these. The repair takes 0.3 s; it took 22 s."""
    number = 10_000
    calls = tuple(ToolUse(f"no id {at}", "look", {}) for at in range(number))
    results = tuple(ToolResult(call.id, "1") for call in reversed(calls))
    started = time.process_time()
    assert len(repair_messages([ASK] * (4 * number))) == 1
    _, asked, answered = repair_messages([ModelMessage("assistant", calls), ModelMessage("user", results)])
    assert time.process_time() - started < 2.5
    assert len(asked.content) == len(answered.content) == number
    assert NO_RESULT not in {each.content for each in answered.content if isinstance(each, ToolResult)}
