"""Builds and validates a model's answer while it is streamed. The adapters of all providers use this module.

Call `begin`, then for each block `open`, `add` (repeatedly) and `close`; call `report` (usage) and `stop` (reason) at
any time; then `complete`.

An adapter checks the types of its wire format and calls these methods in the order of its events. The result has valid
UTF-8 text, bounded sizes, tool calls that can be stored and sent back, plausible usage, and a stop reason that fits the
content. `AnswerBroken` is raised if the answer cannot be repaired.

If an answer is truncated or refused (`max_tokens`, `refusal`, `context_overflow`), its tool calls are dropped, because
a call that may be incomplete must not run.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from atrium.llm.catalogue import ModelInfo
from atrium.llm.model import (
    Block,
    Completed,
    ModelEvent,
    ModelRequest,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolUse,
    Usage,
)
from atrium.llm.normalise import TextJoiner, clean_arguments, clean_call, clean_text, read_arguments
from atrium.llm.tokens import UsageMeter

type BlockKind = Literal["text", "thinking", "redacted", "tool_use", "ignored"]

ANSWER_BYTES_MAX = 2_097_152
"""Maximum size of the content as JSON: three times the size of a typical answer of 128 000 tokens, and less than the
maximum size of a Lambda response.
"""
BLOCKS_MAX = 1_000
CALLS_MAX = 128
_CUT: frozenset[StopReason] = frozenset({"max_tokens", "refusal", "context_overflow"})


class AnswerBroken(Exception):
    """The provider's answer violates its format. The error text has no data from the provider and may be logged."""


@dataclass(slots=True)
class _Part:
    """A block that is being received. `call_id` and `name` are the received values of a tool call.

    `arguments` contains the arguments of a tool call that were received as an object, not as text, and their problem
    ("" if they are valid).
    """

    kind: BlockKind
    signature: str = ""
    call_id: object = None
    name: object = None
    arguments: tuple[dict[str, Any], str] = field(default_factory=lambda: ({}, ""))
    pieces: list[str] = field(default_factory=list)
    joiner: TextJoiner = field(default_factory=TextJoiner)
    is_closed: bool = False

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class AnswerBuilder:
    """Builds the answer to one request."""

    def __init__(self, request: ModelRequest, model: ModelInfo) -> None:
        self._request = request
        self._meter = UsageMeter(request, model)
        self._parts: dict[int, _Part] = {}
        self._stop_reason: StopReason | None = None
        self._stop_sequence: object = None
        self._size = self._written = 0
        self._has_start = False
        self._has_begun = self.is_complete = False

    @property
    def usage(self) -> Usage:
        """Return the usage known so far. Missing numbers are estimated."""
        return self._meter.read(self._written) if self._has_begun else Usage()

    def begin(self) -> None:
        self._has_begun = True
        if self._has_start:
            raise AnswerBroken("the answer begins twice")
        self._has_start = True

    def report(self, figures: Mapping[str, object], *, final: bool = False) -> None:
        """Record usage that the provider reported (see `UsageMeter.report`)."""
        self._require_start()
        self._meter.report(figures, final=final)

    def open(
        self, index: int, kind: BlockKind, *, signature: str = "", call_id: object = None, name: object = None,
        arguments: object = None,
    ) -> None:  # fmt: skip
        """Begin a block. `arguments` are the arguments of a tool call, if the provider sends them as an object and not
        as text.
        """
        self._require_start()
        if index in self._parts:
            raise AnswerBroken("a block begins twice")
        if len(self._parts) >= BLOCKS_MAX:
            raise AnswerBroken(f"the answer has more than {BLOCKS_MAX} blocks")
        self._parts[index] = part = _Part(kind, call_id=call_id, name=name)
        self._sign(part, signature)
        if arguments:
            part.arguments = clean_arguments(arguments)
            self._count(part.arguments[0])

    def add(self, index: int, kind: BlockKind, text: str) -> Iterator[ModelEvent]:
        """Add a chunk to a block, and yield its delta. The block must be open and of the given kind."""
        part = self._open_part(index)
        if part.kind == "ignored":
            return
        if part.kind != kind:
            raise AnswerBroken(f"a chunk of type {kind} in a block of type {part.kind}")
        yield from self._take(part, part.joiner.feed(text))

    def sign(self, index: int, signature: str) -> None:
        """Set the signature of a thinking block."""
        part = self._open_part(index)
        if part.kind == "thinking":
            self._sign(part, signature)

    def close(self, index: int) -> Iterator[ModelEvent]:
        """Close a block, and yield the delta of the text that was held back."""
        yield from self._close(self._open_part(index))

    def stop(self, reason: StopReason, sequence: object = None) -> None:
        """Set the stop reason, and the stop sequence that the provider reports."""
        self._require_start()
        self._stop_reason, self._stop_sequence = reason, sequence

    def complete(self) -> Iterator[ModelEvent]:
        """End the answer: close blocks that are still open and yield `Completed`."""
        self._require_start()
        if self._stop_reason is None:
            raise AnswerBroken("the answer has no stop reason")
        for part in self._parts.values():
            if not part.is_closed:
                yield from self._close(part)
        reason, content = self._judge(self._stop_reason)
        self.is_complete = True
        known = (each for each in self._request.stop_sequences if each == self._stop_sequence)
        sequence = next(known, None) if reason == "stop_sequence" else None
        yield Completed(content, reason, self.usage, sequence)

    def end(self) -> None:
        """Mark the end of the stream. Raise `AnswerBroken` if the answer is not complete."""
        if not self.is_complete:
            raise AnswerBroken("the answer has no end")

    def _require_start(self) -> None:
        self._has_begun = True
        if not self._has_start:
            raise AnswerBroken("the answer has no beginning")

    def _open_part(self, index: int) -> _Part:
        self._require_start()
        part = self._parts.get(index)
        if part is None or part.is_closed:
            raise AnswerBroken("the answer has a chunk of a block that is not open")
        return part

    def _take(self, part: _Part, text: str) -> Iterator[ModelEvent]:
        if not text or part.kind == "ignored":
            return
        self._count(text)
        self._written += len(text.encode())
        part.pieces.append(text)
        if part.kind == "text":
            yield TextDelta(text)
        elif part.kind == "thinking":
            yield ThinkingDelta(text)

    def _close(self, part: _Part) -> Iterator[ModelEvent]:
        part.is_closed = True
        yield from self._take(part, part.joiner.end())

    def _sign(self, part: _Part, signature: str) -> None:
        self._count(signature)
        part.signature = signature if clean_text(signature) == signature else ""

    def _count(self, content: object) -> None:
        self._size += len(json.dumps(content))
        if self._size > ANSWER_BYTES_MAX:
            raise AnswerBroken(f"the answer is larger than {ANSWER_BYTES_MAX} bytes")

    def _judge(self, reason: StopReason) -> tuple[StopReason, tuple[Block, ...]]:
        """Return the stop reason and the content, adjusted so that they are consistent."""
        sent = (block for message in self._request.messages for block in message.content)
        taken = {block.id for block in sent if isinstance(block, ToolUse)}
        blocks = (_block(self._parts[index], taken) for index in sorted(self._parts))
        content = tuple(block for block in blocks if block is not None)
        calls = [block for block in content if isinstance(block, ToolUse)]
        if reason in _CUT:
            return reason, tuple(block for block in content if not isinstance(block, ToolUse))
        if reason == "tool_use" and not calls:
            raise AnswerBroken("the stop reason is tool_use, and there is no tool call")
        if len(calls) > CALLS_MAX:
            raise AnswerBroken(f"the answer has more than {CALLS_MAX} tool calls")
        return "tool_use" if calls else reason, content


def _block(part: _Part, taken: set[str]) -> Block | None:
    match part.kind:
        case "text" if part.text.strip():
            return Text(part.text)
        case "thinking" if part.signature and not part.joiner.is_changed:
            return Thinking(part.text, part.signature)
        case "redacted" if part.signature:
            return Thinking("", part.signature, redacted=True)
        case "tool_use":
            return _call(part, taken)
        case _:
            return None


def _call(part: _Part, taken: set[str]) -> ToolUse:
    arguments, problem = read_arguments(part.text) if part.text.strip() else part.arguments
    return clean_call(part.call_id, part.name, arguments, problem, taken)


def read_object(value: object, name: str) -> Mapping[str, Any]:
    """Return an object. `name` describes it in the error."""
    if not isinstance(value, dict):
        raise AnswerBroken(f"{name} is not an object")
    return value


def read_list(fields: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list. If it is absent or null, return an empty list."""
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise AnswerBroken(f"{name} is not a list")
    return value


def read_index(fields: Mapping[str, Any]) -> int:
    """Return the field `index`, which is a whole number of at least 0."""
    index = fields.get("index")
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise AnswerBroken("the index of a block is not a whole number")
    return index


def read_text(fields: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    """Return a text field. If it is absent or null and not required, return ""."""
    value = fields.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise AnswerBroken(f"{name} is not a string")
    return value
