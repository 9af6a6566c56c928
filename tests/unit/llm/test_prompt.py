"""The translation of a conversation into a request to Anthropic's API."""

from typing import Any

from atrium.llm.anthropic.wire import message_params, system_blocks, tool_params
from atrium.llm.model import Block, ModelMessage, ModelRequest, Role, Text, Thinking, ToolResult, ToolSchema, ToolUse

from tests.builders.images import PNG, image

MARK = {"type": "ephemeral"}
SENT_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}


def send(*messages: tuple[Role, tuple[Block, ...]]) -> list[dict[str, Any]]:
    request = ModelRequest("claude-haiku-5-5", "", tuple(ModelMessage(*each) for each in messages), 10)
    return [dict(param) for param in message_params(request)]


def test_omits_blank_messages_and_merges_their_neighbours() -> None:
    assert send(("user", (Text("a"),)), ("assistant", (Text(" \n"),)), ("user", (Text(""), Text("b")))) == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": MARK}],
        },
    ]
    assert system_blocks("  ") == []


def test_sends_thinking_of_the_current_turn_only() -> None:
    earlier = (Thinking("old", "s1"), ToolUse("t1", "n", {}))
    now = (Thinking("new", "s2"), Thinking("", "blob", redacted=True), Thinking("cut off", ""), ToolUse("t2", "n", {}))
    sent = send(
        ("user", (Text("first"),)),
        ("assistant", earlier),
        ("user", (ToolResult("t1", "1"), Text("second"))),
        ("assistant", now),
        ("user", (ToolResult("t2", "2", is_error=True),)),
    )

    assert sent[1]["content"] == [{"type": "tool_use", "id": "t1", "name": "n", "input": {}}]
    assert sent[3]["content"] == [
        {"type": "thinking", "thinking": "new", "signature": "s2"},
        {"type": "redacted_thinking", "data": "blob"},
        {"type": "tool_use", "id": "t2", "name": "n", "input": {}},
    ]
    assert sent[4]["content"] == [
        {"type": "tool_result", "tool_use_id": "t2", "content": "2", "is_error": True, "cache_control": MARK}
    ]


def test_sends_images_of_the_user_and_of_tools() -> None:
    sent = send(
        ("user", (Text("Look:"), image())),
        ("assistant", (Thinking("hm", "s"), ToolUse("t", "n", {}))),
        ("user", (ToolResult("t", (Text(" "), image(), Text("a plot"))), image())),
        ("assistant", (Thinking("so", "s"), ToolUse("u", "n", {}))),
        ("user", (ToolResult("u", "1"),)),
    )
    assert sent[0]["content"] == [{"type": "text", "text": "Look:"}, SENT_IMAGE]
    assert sent[1]["content"] == [{"type": "tool_use", "id": "t", "name": "n", "input": {}}], "an image begins a turn"
    assert sent[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "t", "content": [SENT_IMAGE, {"type": "text", "text": "a plot"}],
         "is_error": False},
        {**SENT_IMAGE, "cache_control": MARK},
    ]  # fmt: skip
    assert sent[3]["content"][0] == {"type": "thinking", "thinking": "so", "signature": "s"}


def test_marks_the_last_tool_for_caching_without_a_system_prompt() -> None:
    tools = (ToolSchema("a", "A", {"type": "object"}), ToolSchema("b", "B", {"type": "object"}))
    assert [tool.get("cache_control") for tool in tool_params(tools, marked=True)] == [None, MARK]
    assert [tool.get("cache_control") for tool in tool_params(tools, marked=False)] == [None, None]
    assert tool_params((), marked=True) == []
