"""Blocks of content as JSON and back: every kind comes back as what it was."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from atrium.llm.model import Block, Text, Thinking, ToolResult, ToolUse
from atrium.llm.normalise import clean_arguments, clean_text

UNREADABLE = "[content that this version cannot read]"


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


def decode_block(data: object) -> Block:
    """Read what `encode_block` made, whatever became of it: what is stored must never keep a session from being read.

    A block of a kind that this version does not know becomes a text that says so; a field of the wrong type is empty.
    """
    fields = data if isinstance(data, dict) else {}
    match fields.get("type"):
        case "text":
            return Text(_text(fields, "text"))
        case "thinking":
            return Thinking(_text(fields, "text"), _text(fields, "signature"), fields.get("redacted") is True)
        case "tool_call":
            arguments, _ = clean_arguments(fields.get("args"))
            return ToolUse(_text(fields, "tool_call_id"), _text(fields, "tool"), arguments)
        case "tool_result":
            is_error = fields.get("is_error") is not False
            return ToolResult(_text(fields, "tool_call_id"), _text(fields, "result"), is_error)
        case _:
            return Text(UNREADABLE)


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    return clean_text(value) if isinstance(value, str) else ""


def encode_blocks(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    return [encode_block(block) for block in blocks]


def decode_blocks(data: object) -> tuple[Block, ...]:
    return tuple(decode_block(each) for each in data) if isinstance(data, list) else ()
