"""Every conversation that is sent to a model is valid, for any stored messages. A valid conversation is not changed."""

import json
from itertools import pairwise
from math import inf, nan
from typing import Any

import pytest
from atrium.llm.anthropic.wire import message_params, tool_choice, tool_params
from atrium.llm.content import IMAGE_BROKEN
from atrium.llm.model import (
    Block,
    Image,
    ModelMessage,
    ModelRequest,
    Role,
    Text,
    Thinking,
    ToolResult,
    ToolSchema,
    ToolUse,
)
from atrium.llm.normalise import (
    NO_RESULT,
    NOTHING_SAID,
    UNAVAILABLE_TOOL,
    repair_messages,
    repair_request,
    without_thinking,
)
from atrium.llm.tokens import bound_tokens
from hypothesis import given
from hypothesis import strategies as st

from infra.local.model_server.request import Caller, MessagesRequest, read_prompt
from tests.builders.images import FILES, PNG, image
from tests.builders.scripted import assert_acceptable

TOOL = ToolSchema("calculator", "Computes.", {"type": "object"})
ASK = ModelMessage("user", (Text("What is it?"),))
TEXTS = st.sampled_from(["", " \n", "a", "a\ud83d", "\ude00", "é", "call_1", "a b", "x" * 200])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.sampled_from([1, nan, inf, -(10**400), "\ud83d", True]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
IMAGES = st.sampled_from([
    *map(image, FILES), Image("image/gif", PNG), Image("image/bmp", PNG), Image("image/png", "?"), Image("", ""),
])  # fmt: skip
CONTENT = st.lists(st.builds(Text, TEXTS) | IMAGES, max_size=3).map(tuple)
BLOCKS: st.SearchStrategy[Block] = st.one_of(
    st.builds(Text, TEXTS),
    IMAGES,
    st.builds(Thinking, TEXTS, st.just("")),
    st.builds(ToolUse, TEXTS, TEXTS, st.dictionaries(TEXTS, JSON, max_size=2)),
    st.builds(ToolResult, TEXTS, TEXTS | CONTENT, st.booleans()),
)
ROLES: st.SearchStrategy[Role] = st.sampled_from(["user", "assistant"])
MESSAGES = st.lists(st.builds(ModelMessage, ROLES, st.lists(BLOCKS, max_size=4).map(tuple)), max_size=8)


def request_of(*messages: ModelMessage, tools: tuple[ToolSchema, ...] = ()) -> ModelRequest:
    return ModelRequest("claude-haiku-5-5", "", messages, 100, tools)


def sent(request: ModelRequest) -> dict[str, Any]:
    """Return the body that is sent for a request, and validate the body against the rules of Anthropic's API."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": message_params(request),
        "tools": tool_params(request.tools, marked=True),
        "max_tokens": request.max_tokens,
        **({"tool_choice": tool_choice(request)} if tool_choice(request) else {}),
    }
    json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
    read = read_prompt(MessagesRequest, body, Caller("2026-10-21", beta=False))
    assert bound_tokens(request) >= read.input_tokens
    return body


@given(MESSAGES, st.booleans())
def test_makes_any_conversation_valid(messages: list[ModelMessage], has_tools: bool) -> None:
    request = repair_request(request_of(*messages, tools=(TOOL,) if has_tools else ()))
    assert_acceptable(request)
    body = sent(request)
    roles = [each["role"] for each in body["messages"]]
    assert all(left != right for left, right in pairwise(roles))
    assert repair_request(request) == request, "what is valid is left alone"
    assert bool(body["tools"]) is (has_tools or "tool_use" in json.dumps(body["messages"]))


@given(MESSAGES, MESSAGES)
def test_repeats_earlier_messages_unchanged(before: list[ModelMessage], after: list[ModelMessage]) -> None:
    """This preserves the provider's prompt cache and the signatures of thinking blocks."""
    shorter = repair_messages([*before, ASK])[:-1]
    assert repair_messages([*before, ASK, *after])[: len(shorter)] == shorter


def test_leaves_a_valid_conversation_unchanged() -> None:
    messages = (
        ASK,
        ModelMessage(
            "assistant", (Thinking("hm", "s"), Text("See:"), ToolUse("a", "n", {"x": [1]}), ToolUse("b", "n", {}))
        ),
        ModelMessage("user", (ToolResult("a", "1"), ToolResult("b", "2", is_error=True), Text("and?"))),
    )
    assert repair_messages(messages) == messages


def test_keeps_images_of_the_user_and_of_tools() -> None:
    messages = (
        ModelMessage("user", (image(), Text("What is it?"))),
        ModelMessage("assistant", (ToolUse("a", "n", {}),)),
        ModelMessage("user", (ToolResult("a", (image("image/gif"), Text("a plot"))), image("image/webp"))),
    )
    assert repair_messages(messages) == messages
    broken = Image("image/gif", PNG)
    assert repair_messages((
        ModelMessage("user", (broken,)),
        ModelMessage("assistant", (image(), Text("An image."), ToolUse("a", "n", {}))),
        ModelMessage("user", (ToolResult("a", (broken, image())),)),
    )) == (
        ModelMessage("user", (Text(IMAGE_BROKEN),)),
        ModelMessage("assistant", (Text("An image."), ToolUse("a", "n", {}))),
        ModelMessage("user", (ToolResult("a", (Text(IMAGE_BROKEN), image())),)),
    )  # fmt: skip


def test_pairs_tool_calls_and_results() -> None:
    messages = (
        ASK,
        ModelMessage("assistant", (ToolUse("a", "n", {}), ToolUse("a", "n", {}), ToolUse("", "n", {}))),
        ModelMessage("user", (ToolResult("x", "0"), ToolResult("", "3"), ToolResult("a", "1"), ToolResult("a", "2"))),
        ModelMessage("assistant", (ToolUse("a", "n", {}),)),
    )
    _, asked, answered, last, end = repair_messages(messages)
    ids = [block.id for block in (*asked.content, *last.content) if isinstance(block, ToolUse)]
    results = [block for block in answered.content if isinstance(block, ToolResult)]
    assert len(set(ids)) == 4
    assert [result.tool_use_id for result in results] == ids[:3]
    assert [result.content for result in results] == ["1", "2", "3"]
    assert end.content == (ToolResult(ids[3], NO_RESULT, is_error=True),)


@pytest.mark.parametrize(
    "messages", [(), (ModelMessage("assistant", (Text("a"),)),), (ModelMessage("user", (Text(" "),)),)]
)
def test_starts_and_ends_with_the_user(messages: tuple[ModelMessage, ...]) -> None:
    repaired = repair_messages(messages)
    assert (repaired[0].role, repaired[-1].role) == ("user", "user")
    assert Text(NOTHING_SAID) in repaired[-1].content


def test_declares_missing_tools_as_not_callable() -> None:
    request = request_of(ASK, ModelMessage("assistant", (Thinking("hm", "s"), ToolUse("a", "n", {}))), ASK)
    repaired = repair_request(request)
    assert (repaired.tools, repaired.tool_choice) == ((UNAVAILABLE_TOOL,), "none")
    assert sent(repaired)["tool_choice"] == {"type": "none"}
    assert not any(isinstance(block, Thinking) for message in repaired.messages for block in message.content)
    assert repair_request(request_of(ASK)).tools == ()


def test_messages_of_thinking_alone_are_removed_with_it() -> None:
    alone = ModelMessage("assistant", (Thinking("hm", "s"),))
    both = ModelMessage("assistant", (Thinking("hm", "s"), Text("Yes.")))
    assert without_thinking([ASK, alone, both]) == (ASK, ModelMessage("assistant", (Text("Yes."),)))
