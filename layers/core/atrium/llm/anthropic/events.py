"""Reads the events of Anthropic's stream into an `AnswerBuilder`, and checks the types of their fields.

Events, blocks and deltas of unknown types are ignored, as the API requires. A field of a wrong type raises
`AnswerBroken`, except figures, ids, names and arguments, which the builder repairs.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from atrium.llm.answer import AnswerBroken, AnswerBuilder, BlockKind
from atrium.llm.model import ModelEvent, StopReason

_REASONS: dict[str, StopReason] = {
    "end_turn": "end_turn",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "pause_turn": "pause_turn",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_overflow",
}
_FIGURES = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}
_DELTAS: dict[str, tuple[BlockKind, str]] = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "input_json_delta": ("tool_use", "partial_json"),
}


def read_event(event: object, answer: AnswerBuilder) -> Iterator[ModelEvent]:
    """Read one event; yield the resulting model events. Raises `AnswerBroken`."""
    fields = _object(event, "an event")
    match _text(fields, "type", required=True):
        case "message_start":
            answer.begin()
            message = fields.get("message")
            answer.report(_figures(message.get("usage") if isinstance(message, dict) else None))
        case "content_block_start":
            yield from _open(_index(fields), _object(fields.get("content_block"), "content_block"), answer)
        case "content_block_delta":
            yield from _extend(_index(fields), _object(fields.get("delta"), "delta"), answer)
        case "content_block_stop":
            yield from answer.close(_index(fields))
        case "message_delta":
            reason = _text(_object(fields.get("delta"), "delta"), "stop_reason")
            if reason:
                answer.stop(_REASONS.get(reason, "end_turn"))
            answer.report(_figures(fields.get("usage")), final=True)
        case "message_stop":
            yield from answer.complete()


def _open(index: int, block: Mapping[str, Any], answer: AnswerBuilder) -> Iterator[ModelEvent]:
    match _text(block, "type", required=True):
        case "text":
            answer.open(index, "text")
            yield from answer.add(index, "text", _text(block, "text"))
        case "thinking":
            answer.open(index, "thinking", signature=_text(block, "signature"))
            yield from answer.add(index, "thinking", _text(block, "thinking"))
        case "redacted_thinking":
            answer.open(index, "redacted", signature=_text(block, "data"))
        case "tool_use":
            answer.open(
                index, "tool_use", call_id=block.get("id"), name=block.get("name"), arguments=block.get("input")
            )
        case _:
            answer.open(index, "ignored")


def _extend(index: int, delta: Mapping[str, Any], answer: AnswerBuilder) -> Iterator[ModelEvent]:
    kind = _text(delta, "type", required=True)
    if kind == "signature_delta":
        answer.sign(index, _text(delta, "signature"))
    elif kind in _DELTAS:
        block, name = _DELTAS[kind]
        yield from answer.add(index, block, _text(delta, name))


def _figures(usage: object) -> dict[str, object]:
    """Return the figures, named as the fields of `Usage`; `UsageMeter` validates them."""
    return {ours: usage.get(theirs) for theirs, ours in _FIGURES.items()} if isinstance(usage, dict) else {}


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise AnswerBroken(f"{name} is no object")
    return value


def _index(fields: Mapping[str, Any]) -> int:
    index = fields.get("index")
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise AnswerBroken("the index of a block is not a whole number")
    return index


def _text(fields: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    """Return a text, "" where it is absent or null and may be."""
    value = fields.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise AnswerBroken(f"{name} is no text")
    return value
