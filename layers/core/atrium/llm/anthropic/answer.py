"""An answer of Anthropic's API, put together from its events; strict where the SDK is lenient.

An answer that does not begin with `message_start` or end with `message_stop`, or a tool call whose input is no JSON
object, is broken. Where an answer ends for another reason than its calls (cut by `max_tokens`, refused), its calls
are dropped: a call that may be cut short must never run.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from atrium.llm.bounds import BYTES_PER_TOKEN
from atrium.llm.model import (
    Block,
    Completed,
    ModelEvent,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolUse,
    Usage,
)

if TYPE_CHECKING:
    from anthropic.types import ContentBlock, MessageDeltaUsage, RawContentBlockDelta, RawMessageStreamEvent
    from anthropic.types import Usage as ReportedUsage

_REASONS: dict[str, StopReason] = {
    "end_turn": "end_turn",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "pause_turn": "pause_turn",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_overflow",
}


class AnswerBroken(Exception):
    """The provider's answer does not keep its own format; the text says where."""


@dataclass(slots=True)
class _Part:
    """A block under way; `kind` is empty for one that we did not ask for and do not keep."""

    kind: str = ""
    id: str = ""
    name: str = ""
    signature: str = ""
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(slots=True)
class Answer:
    """Takes events in order. `usage` is what is known so far."""

    max_tokens: int
    begun: bool = False
    _parts: dict[int, _Part] = field(default_factory=dict)
    _reported: Usage = field(default_factory=Usage)
    _stop_reason: str | None = None
    _bytes: int = 0
    _whole: bool = False

    @property
    def usage(self) -> Usage:
        """Tokens as reported; until the end the output is estimated from its bytes, three to a token."""
        if self._stop_reason is not None:
            return self._reported
        written = min(-(-self._bytes // BYTES_PER_TOKEN), self.max_tokens)
        return replace(self._reported, output_tokens=max(self._reported.output_tokens, written))

    def take(self, event: "RawMessageStreamEvent") -> Iterator[ModelEvent]:
        """Take one event; yields what it means. Events of unknown types are passed over, as the API asks."""
        if event.type == "message_start":
            self.begun = True
            self._report(event.message.usage)
        elif event.type == "content_block_start":
            self._parts[event.index] = part = _open(event.content_block)
            yield from self._pieces_of(part)
        elif event.type == "content_block_delta":
            yield from self._extend(self._parts.get(event.index), event.delta)
        elif event.type == "message_delta":
            self._stop_reason = event.delta.stop_reason or self._stop_reason
            self._report(event.usage)
        elif event.type == "message_stop":
            yield self._complete()

    def end(self) -> None:
        """Say that no event will come; `AnswerBroken` unless the answer is whole."""
        if not self._whole:
            raise AnswerBroken("the answer has no end")

    def _extend(self, part: _Part | None, delta: "RawContentBlockDelta") -> Iterator[ModelEvent]:
        if part is None:
            raise AnswerBroken("a piece of a block that was not begun")
        if delta.type == "text_delta":
            yield from self._add(part, delta.text)
        elif delta.type == "thinking_delta":
            yield from self._add(part, delta.thinking)
        elif delta.type == "input_json_delta":
            yield from self._add(part, delta.partial_json)
        elif delta.type == "signature_delta":
            part.signature = delta.signature

    def _pieces_of(self, part: _Part) -> Iterator[ModelEvent]:
        begun, part.pieces = part.pieces, []
        for text in begun:
            yield from self._add(part, text)

    def _add(self, part: _Part, text: str) -> Iterator[ModelEvent]:
        if not text or not part.kind:
            return
        part.pieces.append(text)
        self._bytes += len(text.encode())
        if part.kind == "text":
            yield TextDelta(text)
        elif part.kind == "thinking":
            yield ThinkingDelta(text)

    def _report(self, usage: "ReportedUsage | MessageDeltaUsage") -> None:
        """Take figures over the earlier ones: they are cumulative, and a figure that is missing has not changed."""
        known = self._reported
        self._reported = Usage(
            _figure(usage.input_tokens, known.input_tokens),
            _figure(usage.output_tokens, known.output_tokens),
            _figure(usage.cache_read_input_tokens, known.cache_read_tokens),
            _figure(usage.cache_creation_input_tokens, known.cache_write_tokens),
        )

    def _complete(self) -> Completed:
        if not self.begun or self._stop_reason is None:
            raise AnswerBroken("the answer ends without a beginning or a reason")
        blocks = (self._block(self._parts[index]) for index in sorted(self._parts))
        content = tuple(block for block in blocks if block is not None)
        self._whole = True
        return Completed(content, _REASONS.get(self._stop_reason, "end_turn"), self._reported)

    def _block(self, part: _Part) -> Block | None:
        match part.kind:
            case "text" if part.text.strip():
                return Text(part.text)
            case "thinking" if part.signature:
                return Thinking(part.text, part.signature)
            case "redacted_thinking":
                return Thinking("", part.signature, redacted=True)
            case "tool_use":
                return self._call(part)
            case _:
                return None

    def _call(self, part: _Part) -> ToolUse | None:
        if self._stop_reason != "tool_use":
            return None
        try:
            arguments: Any = json.loads(part.text or "{}")
        except ValueError as error:
            raise AnswerBroken("the input of a tool call is not JSON") from error
        if not isinstance(arguments, dict):
            raise AnswerBroken("the input of a tool call is not an object")
        return ToolUse(part.id, part.name, arguments)


def _open(block: "ContentBlock") -> _Part:
    if block.type == "text":
        return _Part("text", pieces=[block.text])
    if block.type == "thinking":
        return _Part("thinking", signature=block.signature, pieces=[block.thinking])
    if block.type == "redacted_thinking":
        return _Part("redacted_thinking", signature=block.data)
    if block.type == "tool_use":
        return _Part("tool_use", id=block.id, name=block.name)
    return _Part()


def _figure(reported: int | None, known: int) -> int:
    return known if reported is None else reported
