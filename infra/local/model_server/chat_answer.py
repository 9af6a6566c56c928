"""Writes an answer in the format of the Chat Completions API: one object, or chunks that end with `[DONE]`.

OpenAI reports the usage in a chunk of its own without choices, if the request asks for it. Zhipu reports it in the
chunk with the finish reason.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from infra.local.model_server.answer import Answer, Event, Part, split
from infra.local.model_server.chat_request import ChatRequest
from infra.local.model_server.protocol import JsonObject, Usage
from infra.local.model_server.script import StopReason

_FINISH_REASONS: Mapping[StopReason, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "model_context_window_exceeded": "length",
}


@dataclass(frozen=True)
class Chunk(Event):
    """A chunk of a stream. Its name is that of the corresponding event of the Messages API and is not sent."""

    def encode(self) -> bytes:
        if self.name == "message_stop":
            return b"data: [DONE]\n\n"
        return f"data: {json.dumps(self.data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


@dataclass(frozen=True)
class ChatAnswer:
    """An answer with the request that determines its format."""

    answer: Answer
    request: ChatRequest

    @property
    def usage(self) -> Usage:
        return self.answer.usage

    def message(self, *, message_id: str, model: str) -> JsonObject:
        """Return the response body for a request without `stream`."""
        calls = [_call(part, part.text, index, with_index=False) for index, part in enumerate(self._parts("tool_use"))]
        text, thinking = self._text("text"), self._text("thinking")
        message: JsonObject = {"role": "assistant", "content": text or None}
        message |= {"refusal": None} if not self.request.is_zhipu else {}
        message |= {"tool_calls": list(calls)} if calls else {}
        message |= {"reasoning_content": thinking} if thinking else {}
        choice: JsonObject = {"index": 0, "message": message, "finish_reason": self._finish_reason()}
        return {
            **_frame(message_id, model, "chat.completion"),
            "choices": [choice],
            "usage": _usage(self.usage),
        }

    def events(self, *, message_id: str, model: str, pieces: int | None) -> Iterator[Event]:
        """Yield the chunks of the response, with its text split into `pieces` deltas."""
        frame = _frame(message_id, model, "chat.completion.chunk")
        yield Chunk("message_start", {**frame, "choices": [_choice({"role": "assistant", "content": ""})]})
        for part in self.answer.parts:
            for delta in self._deltas(part, pieces):
                yield Chunk("content_block_delta", {**frame, "choices": [_choice(delta)]})
        usage: JsonObject = {"usage": _usage(self.usage)} if self.request.reports_usage else {}
        last: JsonObject = {**frame, "choices": [_choice({}, self._finish_reason())]}
        reported = self.usage if self.request.reports_usage else None
        if self.request.is_zhipu:
            yield Chunk("message_delta", {**last, **usage}, reported)
        else:
            yield Chunk("message_delta", last)
            if usage:
                yield Chunk("usage", {**frame, "choices": [], **usage}, reported)
        yield Chunk("message_stop", {})

    def _deltas(self, part: Part, pieces: int | None) -> Iterator[JsonObject]:
        if part.type == "text":
            for piece in split(part.text, pieces):
                yield {"content": piece}
        elif part.type == "thinking":
            for piece in split(part.text):
                yield {"reasoning_content": piece}
        else:
            index = self._parts("tool_use").index(part)
            yield {"tool_calls": [_call(part, "", index)]}
            for piece in split(part.text):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}

    def _parts(self, kind: str) -> list[Part]:
        return [part for part in self.answer.parts if part.type == kind]

    def _text(self, kind: str) -> str:
        return "".join(part.text for part in self._parts(kind))

    def _finish_reason(self) -> str:
        reason = self.answer.stop_reason
        return reason if self.request.is_zhipu and reason.startswith("model_") else _FINISH_REASONS[reason]


def _frame(message_id: str, model: str, kind: str) -> JsonObject:
    return {"id": message_id, "object": kind, "created": int(time.time()), "model": model}


def _choice(delta: JsonObject, reason: str | None = None) -> JsonObject:
    return {"index": 0, "delta": delta, "finish_reason": reason}


def _call(part: Part, arguments: str, index: int, *, with_index: bool = True) -> JsonObject:
    shown: JsonObject = {"index": index} if with_index else {}
    return {**shown, "id": part.id, "type": "function", "function": {"name": part.name, "arguments": arguments}}


def _usage(usage: Usage) -> JsonObject:
    read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    prompt = usage.input_tokens + read + written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": usage.thinking_tokens},
    }
