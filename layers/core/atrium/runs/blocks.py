"""Blocks of content as JSON and back: every kind comes back as what it was."""

from collections.abc import Sequence
from typing import Any, assert_never

from atrium.llm.model import Block, Text, Thinking, ToolResult, ToolUse


def encode_block(block: Block) -> dict[str, Any]:
    """Return the block in the form that the API shows, too."""
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case Thinking(text, signature, redacted):
            return {"type": "thinking", "text": text, "signature": signature, "redacted": redacted}
        case ToolUse(id=call, name=name, input=arguments):
            return {"type": "tool_call", "tool_call_id": call, "tool": name, "args": dict(arguments)}
        case ToolResult(tool_use_id=call, content=content, is_error=is_error):
            return {"type": "tool_result", "tool_call_id": call, "result": content, "is_error": is_error}
        case _:
            assert_never(block)


def decode_block(data: dict[str, Any]) -> Block:
    """Read what `encode_block` made; `ValueError` for a kind that this version does not know."""
    match data["type"]:
        case "text":
            return Text(data["text"])
        case "thinking":
            return Thinking(data["text"], data["signature"], data["redacted"])
        case "tool_call":
            return ToolUse(data["tool_call_id"], data["tool"], data["args"])
        case "tool_result":
            return ToolResult(data["tool_call_id"], data["result"], data["is_error"])
        case kind:
            raise ValueError(f"unknown block: {kind}")


def encode_blocks(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    return [encode_block(block) for block in blocks]


def decode_blocks(data: Sequence[dict[str, Any]]) -> tuple[Block, ...]:
    return tuple(decode_block(each) for each in data)
