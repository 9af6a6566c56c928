"""The answer to a request: its blocks, why it stops and what it counts, all decided before a byte is sent."""

import json
import secrets
from dataclasses import dataclass

from pydantic import JsonValue

from infra.local.model_server.choice import choose_calls
from infra.local.model_server.conversation import Conversation, ToolAnswer
from infra.local.model_server.parts import JsonObject, Part, TextPart, ThinkingPart, ToolPart
from infra.local.model_server.questions import quote, recall
from infra.local.model_server.request import MessagesRequest
from infra.local.model_server.script import Script, StopReason
from infra.local.model_server.tokens import pad_to_tokens


@dataclass(frozen=True)
class Usage:
    """Tokens of one call; an answer, even an empty one, counts at least 1 unless `max_tokens` is 0."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    thinking_tokens: int = 0


@dataclass(frozen=True)
class Answer:
    """A finished answer, cut at `max_tokens` and at the caller's stop sequences."""

    parts: list[Part]
    stop_reason: StopReason
    stop_sequence: str | None
    stop_details: JsonObject | None
    usage: Usage


def compose(request: MessagesRequest, script: Script, conversation: Conversation) -> Answer:
    """Decide the answer; the same request gives the same one, but for the ids of tool calls."""
    parts = [] if script.refusal else _parts(request, script, conversation)
    reason: StopReason = "tool_use" if any(isinstance(part, ToolPart) for part in parts) else "end_turn"
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
        parts.append(ThinkingPart(script.thinking))
    calls = choose_calls(request, script, conversation)
    if calls and script.preface:
        parts.append(TextPart(script.preface))
    for call in calls:
        arguments = json.dumps(call.input, ensure_ascii=False, separators=(",", ":"))
        parts.append(ToolPart(f"toolu_01{secrets.token_hex(11)}", call.name, arguments))
    if not calls:
        text = _text(script, conversation)
        parts.append(TextPart(pad_to_tokens(text, script.tokens) if script.tokens else text))
    return parts


def _text(script: Script, conversation: Conversation) -> str:
    said = [script.said] if script.echo and script.said else []
    said += [_report(answer) for answer in conversation.answers]
    if said:
        return "\n".join(said)
    texts = [*conversation.user_texts[:-1], script.said]
    count = conversation.message_count
    shown = "1 message" if count == 1 else f"{count} messages"
    return recall(texts) or f"You said: {quote(script.said)} I was shown {shown}."


def _report(answer: ToolAnswer) -> str:
    if answer.is_error:
        return f"{answer.name} failed: {answer.result}"
    values: list[JsonValue] = list(answer.input.values())
    if answer.name == "calculator" and len(values) == 1:
        return f"{values[0]} = {answer.result}"
    return f"{answer.name} says: {answer.result}"


def _cut_at_sequence(parts: list[Part], sequences: list[str]) -> tuple[list[Part], str | None]:
    for index, part in enumerate(parts):
        if isinstance(part, TextPart):
            found = [(part.text.find(sequence), sequence) for sequence in sequences if sequence in part.text]
            if found:
                at, sequence = min(found)
                kept = [TextPart(part.text[:at])] if at else []
                return [*parts[:index], *kept], sequence
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
        thinking_tokens=sum(part.tokens for part in parts if isinstance(part, ThinkingPart)),
    )
