"""Composes the whole response to a request before any byte is sent: blocks, stop reason, usage and wire format.

A stream begins with `message_start`. For each block, it contains `content_block_start`, `content_block_delta` events
and `content_block_stop`. A `ping` follows the first `content_block_start`. The stream ends with `message_delta`, which
contains the stop reason and the cumulative usage, and `message_stop`.
"""

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import ceil
from typing import Literal, Self

from pydantic import JsonValue

from infra.local.model_server.protocol import JsonObject, Usage, count_tokens, cut_to_tokens, pad_to_tokens, sign
from infra.local.model_server.request import MessagesRequest, Tool
from infra.local.model_server.script import (
    AnsweredCall,
    Conversation,
    Script,
    StopReason,
    ToolCall,
    asked_sum,
    asks_time,
    quote,
    recall,
)

PIECE_CHARACTERS = 12


def split(text: str, pieces: int | None = None) -> list[str]:
    """Split a text into `pieces` parts of nearly equal length (fewer if the text is shorter).

    If `pieces` is None, each part has about PIECE_CHARACTERS characters.
    """
    count = min(pieces, len(text)) if pieces else ceil(len(text) / PIECE_CHARACTERS)
    edges = [len(text) * index // count for index in range(count + 1)] if count else []
    return [text[start:end] for start, end in pairwise(edges)]


@dataclass(frozen=True)
class Part:
    """One block of a response. The `text` of a tool call is its arguments as JSON, which `max_tokens` may truncate."""

    type: Literal["text", "thinking", "tool_use"]
    text: str
    id: str = ""
    name: str = ""

    @property
    def tokens(self) -> int:
        """Return the number of tokens in the block."""
        return count_tokens(self.name + self.text)

    def cut(self, tokens: int) -> Self:
        """Return the block truncated to at most `tokens` tokens."""
        return replace(self, text=cut_to_tokens(self.name + self.text, tokens)[len(self.name) :])

    def block(self, *, opening: bool = False) -> JsonObject:
        """Return the block as JSON. If `opening` is true, the block has no content, as in `content_block_start`."""
        text = "" if opening else self.text
        if self.type == "text":
            return {"type": "text", "text": text}
        if self.type == "thinking":
            return {"type": "thinking", "thinking": text, "signature": sign(text) if text else ""}
        return {"type": "tool_use", "id": self.id, "name": self.name, "input": _parse_or_empty(text)}

    def deltas(self, pieces: int | None) -> list[JsonObject]:
        """Return the deltas of the block's `content_block_delta` events, in order. `pieces` applies only to text."""
        if self.type == "text":
            return [{"type": "text_delta", "text": piece} for piece in split(self.text, pieces)]
        if self.type == "thinking":
            thinking: list[JsonObject] = [{"type": "thinking_delta", "thinking": piece} for piece in split(self.text)]
            return [*thinking, {"type": "signature_delta", "signature": sign(self.text)}]
        # Anthropic's API also sends an empty first delta.
        return [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *split(self.text)]]


def _parse_or_empty(arguments: str) -> JsonObject:
    try:
        value: JsonObject = json.loads(arguments)
    except ValueError:
        return {}
    return value


@dataclass(frozen=True)
class Event:
    """A server-sent event. `usage` is the usage that the event reports to the client."""

    name: str
    data: JsonObject
    usage: Usage | None = None

    @property
    def is_piece(self) -> bool:
        """Return whether the event is a delta. A slow response pauses between deltas."""
        return self.name == "content_block_delta"

    def encode(self) -> bytes:
        """Return the event's bytes, including the final blank line."""
        data = json.dumps(self.data, ensure_ascii=False, separators=(",", ":"))
        return f"event: {self.name}\ndata: {data}\n\n".encode()


@dataclass(frozen=True)
class Answer:
    """A complete response, truncated at `max_tokens` or at a stop sequence of the request."""

    parts: list[Part]
    stop_reason: StopReason
    stop_sequence: str | None
    stop_details: JsonObject | None
    usage: Usage

    def message(self, *, message_id: str, model: str) -> JsonObject:
        """Return the response body of `POST /v1/messages` for a request without `stream`."""
        return {
            **_empty_message(message_id, model),
            "content": [part.block() for part in self.parts],
            **self._stop(),
            "usage": _message_usage(self.usage),
        }

    def events(self, *, message_id: str, model: str, pieces: int | None) -> Iterator[Event]:
        """Yield the events of the response, with its text split into `pieces` deltas."""
        started = replace(self.usage, output_tokens=1, thinking_tokens=0)
        opening: JsonObject = {**_empty_message(message_id, model), "usage": _message_usage(started)}
        yield Event("message_start", {"type": "message_start", "message": opening}, started)
        for index, part in enumerate(self.parts):
            yield _event("content_block_start", {"index": index, "content_block": part.block(opening=True)})
            if index == 0:
                yield _event("ping", {})
            for delta in part.deltas(pieces):
                yield _event("content_block_delta", {"index": index, "delta": delta})
            yield _event("content_block_stop", {"index": index})
        ending: JsonObject = {"type": "message_delta", "delta": self._stop(), "usage": _counts(self.usage)}
        yield Event("message_delta", ending, self.usage)
        yield _event("message_stop", {})

    def _stop(self) -> JsonObject:
        return {
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": self.stop_details,
        }


def _event(name: str, data: JsonObject) -> Event:
    return Event(name, {"type": name, **data})


def _empty_message(message_id: str, model: str) -> JsonObject:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
    }


def _counts(usage: Usage) -> JsonObject:
    counts: dict[str, JsonValue] = asdict(usage)
    thinking = counts.pop("thinking_tokens")
    return counts if not thinking else {**counts, "output_tokens_details": {"thinking_tokens": thinking}}


def _message_usage(usage: Usage) -> JsonObject:
    written = usage.cache_creation_input_tokens
    return {
        **_counts(usage),
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        "service_tier": "standard",
    }


def compose(request: MessagesRequest, script: Script, conversation: Conversation) -> Answer:
    """Return the response to a request. The response is deterministic, except for the ids of tool calls."""
    parts = [] if script.refusal else _parts(request, script, conversation)
    reason: StopReason = "tool_use" if any(part.type == "tool_use" for part in parts) else "end_turn"
    parts, sequence = _cut_at_sequence(parts, request.stop_sequences)
    if sequence is not None:
        reason = "stop_sequence"
    if request.max_tokens == 0 or sum(part.tokens for part in parts) > request.max_tokens:
        parts, reason, sequence = _cut_at_tokens(parts, request.max_tokens), "max_tokens", None
    if script.refusal or script.stop == "refusal":
        reason = "refusal"
    elif script.stop:
        reason = script.stop
        sequence = next(iter(request.stop_sequences), None) if reason == "stop_sequence" else None
    details: JsonObject = {
        "type": "refusal",
        "category": script.refusal or "general_harms",
        "explanation": "The script of this request refuses it.",
    }
    return Answer(parts, reason, sequence, details if reason == "refusal" else None, _usage(request, script, parts))


def _parts(request: MessagesRequest, script: Script, conversation: Conversation) -> list[Part]:
    parts: list[Part] = []
    if script.thinking and not (request.thinking and request.thinking.type == "disabled"):
        parts.append(Part("thinking", script.thinking))
    calls = _choose_calls(request, script, conversation)
    if calls and script.preface:
        parts.append(Part("text", script.preface))
    for call in calls:
        arguments = json.dumps(call.input, ensure_ascii=False, separators=(",", ":"))
        parts.append(Part("tool_use", arguments, id=f"toolu_01{secrets.token_hex(11)}", name=call.name))
    if not calls:
        output = request.output_config.format
        text = _text(script, conversation) if output is None or script.echo else _example_text(output.json_schema)
        parts.append(Part("text", pad_to_tokens(text, script.tokens) if script.tokens else text))
    return parts


def _example_text(schema: JsonValue) -> str:
    return json.dumps(_example(schema, "answer", 0), ensure_ascii=False)


def _text(script: Script, conversation: Conversation) -> str:
    lines = [script.said] if script.echo and script.said else []
    lines += [_report(call) for call in conversation.answers]
    if lines:
        return "\n".join(lines)
    count = conversation.message_count
    shown = "1 message" if count == 1 else f"{count} messages"
    texts = [*conversation.user_texts[:-1], script.said]
    seen = f" and {conversation.images} image{'s' * (conversation.images != 1)}" if conversation.images else ""
    return recall(texts) or f"You said: {quote(script.said)} I was shown {shown}{seen}."


def _report(call: AnsweredCall) -> str:
    if call.is_error:
        return f"{call.name} failed: {call.result}"
    if call.name == "calculator" and len(call.input) == 1:
        return f"{next(iter(call.input.values()))} = {call.result}"
    return f"{call.name} says: {call.result}"


def _cut_at_sequence(parts: list[Part], sequences: list[str]) -> tuple[list[Part], str | None]:
    for index, part in enumerate(parts):
        found = [(part.text.find(sequence), sequence) for sequence in sequences if sequence in part.text]
        if part.type == "text" and found:
            at, sequence = min(found)
            return [*parts[:index], *([Part("text", part.text[:at])] if at else [])], sequence
    return parts, None


def _cut_at_tokens(parts: list[Part], tokens: int) -> list[Part]:
    kept: list[Part] = []
    for part in parts:
        if tokens <= 0:
            break
        kept.append(part if part.tokens <= tokens else part.cut(tokens))
        tokens -= part.tokens
    return kept


def _usage(request: MessagesRequest, script: Script, parts: list[Part]) -> Usage:
    prompt = request.input_tokens
    read = min(script.cache_read or 0, prompt)
    written = min(script.cache_write or 0, prompt - read)
    return Usage(
        input_tokens=prompt - read - written,
        cache_creation_input_tokens=written,
        cache_read_input_tokens=read,
        output_tokens=min(max(1, sum(part.tokens for part in parts)), request.max_tokens),
        thinking_tokens=sum(part.tokens for part in parts if part.type == "thinking"),
    )


def _choose_calls(request: MessagesRequest, script: Script, conversation: Conversation) -> list[ToolCall]:
    """Return the tool calls of the response. If the list is empty, the response is text.

    A script may call a tool that the request does not offer, because a model may invent names. The list is empty if
    the request does not offer tools or its `tool_choice` is `none`.
    """
    choice = request.tool_choice
    done = conversation.rounds
    if not request.tools or choice.type == "none":
        return []
    named = [tool for tool in request.tools if tool.name == choice.name] or request.tools
    wanted = script.tool or _calls_for_question(request.tools, script.said)
    rounds = len(wanted) * script.rounds if choice.disable_parallel_tool_use else script.rounds
    if script.tools_forever:
        wanted = script.tool or [_example_call(_preferred(request.tools), done)]
    elif done >= rounds:
        wanted = []
    if not wanted and choice.type in {"any", "tool"}:
        wanted = [_example_call(_preferred(named), done)]
    if wanted and choice.disable_parallel_tool_use:
        return [wanted[done % len(wanted)]]
    return wanted


def _calls_for_question(tools: Sequence[Tool], text: str) -> list[ToolCall]:
    offered = {tool.name: tool for tool in tools}
    calls: list[ToolCall] = []
    expression = asked_sum(text)
    if expression and "calculator" in offered:
        properties = offered["calculator"].properties
        name = "expression" if "expression" in properties else next(iter(properties), "expression")
        calls.append(ToolCall(name="calculator", input={name: expression}))
    if asks_time(text) and "current_time" in offered:
        calls.append(_example_call(offered["current_time"], 0))
    return calls


def _preferred(tools: Sequence[Tool]) -> Tool:
    return next((tool for tool in tools if tool.name in {"calculator", "current_time"}), tools[0])


def _example_call(tool: Tool, number: int) -> ToolCall:
    return ToolCall(name=tool.name, input=_example_object(tool.input_schema or {}, number))


def _example_object(schema: JsonObject, number: int) -> JsonObject:
    required, properties = schema.get("required"), schema.get("properties")
    names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    return (
        {name: _example(properties.get(name), name, number) for name in names} if isinstance(properties, dict) else {}
    )


def _example(schema: JsonValue, name: str, number: int) -> JsonValue:
    """Return a small value that matches a schema. `number` makes the expressions of successive rounds different."""
    if not isinstance(schema, dict):
        return "example"
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "anyOf"):
        options = schema.get(key)
        if isinstance(options, list) and options:
            return options[0] if key == "enum" else _example(options[0], name, number)
    kind = schema.get("type")
    if kind == "object":
        return _example_object(schema, number)
    minimum = schema.get("minimum")
    if kind in {"integer", "number"}:
        return minimum if isinstance(minimum, int | float) else 1
    text = f"1+{number}" if name == "expression" else "UTC" if "zone" in name else "example"
    values: dict[str, JsonValue] = {"boolean": True, "array": [], "null": None}
    return values.get(kind, text) if isinstance(kind, str) else text
