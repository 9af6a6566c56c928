"""A request in the words of Anthropic's Messages API.

Thinking goes back only within the turn that it belongs to, from the user's last words on. The provider binds each
thought to everything before it, to the account and to the model; a shortened history, another system prompt or
another model would make the next call a 400 (ADR 0040). Blank text, which the API refuses, is left out.

Two cache marks: the end of tools and system prompt, which all of an agent's sessions share, and the end of the
conversation, which the next step or turn continues.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, assert_never, cast

from atrium.llm.model import Block, ModelMessage, ModelRequest, Text, Thinking, ToolResult, ToolSchema, ToolUse

if TYPE_CHECKING:
    from anthropic.types import (
        CacheControlEphemeralParam,
        MessageParam,
        RedactedThinkingBlockParam,
        TextBlockParam,
        ThinkingBlockParam,
        ToolChoiceNoneParam,
        ToolParam,
        ToolResultBlockParam,
        ToolUseBlockParam,
    )

    type Sent = (
        TextBlockParam | ThinkingBlockParam | RedactedThinkingBlockParam | ToolUseBlockParam | ToolResultBlockParam
    )

_CACHED: "CacheControlEphemeralParam" = {"type": "ephemeral"}


def system_blocks(system: str) -> "list[TextBlockParam]":
    """Return the system prompt, marked for the cache; empty if there is none."""
    return [{"type": "text", "text": system, "cache_control": _CACHED}] if system.strip() else []


def tool_params(tools: Sequence[ToolSchema], *, marked: bool) -> "list[ToolParam]":
    """Return the tools; `marked` puts the cache mark on the last one, for want of a system prompt."""
    params: list[ToolParam] = [
        {"name": tool.name, "description": tool.description, "input_schema": dict(tool.input_schema)} for tool in tools
    ]
    if params and marked:
        params[-1]["cache_control"] = _CACHED
    return params


def tool_choice(request: ModelRequest) -> "ToolChoiceNoneParam | None":
    """Return the `tool_choice` of a request whose tools must not be called; None is the API's default."""
    return {"type": "none"} if request.tool_choice == "none" else None


def message_params(request: ModelRequest) -> "list[MessageParam]":
    """Return the conversation; the cache mark is on its last block."""
    turn = _turn_start(request.messages)
    params: list[MessageParam] = []
    for at, message in enumerate(request.messages):
        blocks = list(_sent(message.content, with_thinking=at >= turn))
        if not blocks:
            continue
        if at == len(request.messages) - 1:
            _mark(blocks)
        if params and params[-1]["role"] == message.role:  # the message between them was left out
            blocks = [*cast("list[Sent]", params.pop()["content"]), *blocks]
        if message.role == "user":
            params.append({"role": "user", "content": blocks})
        else:
            params.append({"role": "assistant", "content": blocks})
    return params


def _turn_start(messages: Sequence[ModelMessage]) -> int:
    """Return where the user spoke last; results of tools are no words."""
    return max(
        (
            at
            for at, message in enumerate(messages)
            if message.role == "user" and any(isinstance(block, Text) for block in message.content)
        ),
        default=0,
    )


def _sent(blocks: Iterable[Block], *, with_thinking: bool) -> "Iterable[Sent]":
    for block in blocks:
        match block:
            case Text(text):
                if text.strip():
                    yield {"type": "text", "text": text}
            case Thinking(text, signature, redacted):
                if with_thinking and redacted:
                    yield {"type": "redacted_thinking", "data": signature}
                elif with_thinking and signature:
                    yield {"type": "thinking", "thinking": text, "signature": signature}
            case ToolUse(call, name, arguments):
                yield {"type": "tool_use", "id": call, "name": name, "input": dict(arguments)}
            case ToolResult(call, content, is_error):
                yield {"type": "tool_result", "tool_use_id": call, "content": content, "is_error": is_error}
            case _:
                assert_never(block)


def _mark(blocks: "list[Sent]") -> None:
    last = blocks[-1]
    if last["type"] == "text" or last["type"] == "tool_result":
        last["cache_control"] = _CACHED
