"""The answer on the wire: one JSON message, or the events of a stream in Anthropic's order.

message_start · (content_block_start · ping after the first · content_block_delta … · content_block_stop) … ·
message_delta (stop reason, cumulative usage with `input_tokens`) · message_stop
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from pydantic import JsonValue

from infra.local.model_server.answer import Answer, Usage
from infra.local.model_server.parts import JsonObject


@dataclass(frozen=True)
class Event:
    """One server-sent event; `is_piece` marks the deltas, between which a slow answer waits."""

    name: str
    data: JsonObject
    usage: Usage | None = None

    @property
    def is_piece(self) -> bool:
        return self.name == "content_block_delta"

    def encode(self) -> bytes:
        """The event's bytes, with the blank line that ends it."""
        data = json.dumps(self.data, ensure_ascii=False, separators=(",", ":"))
        return f"event: {self.name}\ndata: {data}\n\n".encode()


def message(answer: Answer, *, message_id: str, model: str) -> JsonObject:
    """The whole answer as `POST /v1/messages` gives it without `stream`."""
    return {
        **_envelope(message_id, model),
        "content": [part.whole() for part in answer.parts],
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "stop_details": answer.stop_details,
        "usage": _usage(answer.usage),
    }


def events(answer: Answer, *, message_id: str, model: str, pieces: int | None) -> Iterator[Event]:
    """The events of the answer, its text in `pieces` pieces; those that report usage carry it for the journal."""
    started = Usage(
        answer.usage.input_tokens,
        answer.usage.cache_creation_input_tokens,
        answer.usage.cache_read_input_tokens,
        output_tokens=1,
    )
    opening: JsonObject = {**_envelope(message_id, model), "usage": _usage(started)}
    yield Event("message_start", {"type": "message_start", "message": opening}, started)
    for index, part in enumerate(answer.parts):
        block: JsonObject = {"index": index, "content_block": part.opening()}
        yield _event("content_block_start", block)
        if index == 0:
            yield _event("ping", {})
        for delta in part.deltas(pieces):
            yield _event("content_block_delta", {"index": index, "delta": delta})
        yield _event("content_block_stop", {"index": index})
    stop: JsonObject = {
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "stop_details": answer.stop_details,
    }
    ending: JsonObject = {"type": "message_delta", "delta": stop, "usage": _counts(answer.usage)}
    yield Event("message_delta", ending, answer.usage)
    yield _event("message_stop", {})


def _event(name: str, data: JsonObject) -> Event:
    return Event(name, {"type": name, **data})


def _envelope(message_id: str, model: str) -> JsonObject:
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
    """Counts as both kinds of usage have them; `output_tokens_details` only where there was thinking."""
    counts: dict[str, JsonValue] = asdict(usage)
    thinking = counts.pop("thinking_tokens")
    return counts if not thinking else {**counts, "output_tokens_details": {"thinking_tokens": thinking}}


def _usage(usage: Usage) -> JsonObject:
    written = usage.cache_creation_input_tokens
    return {
        **_counts(usage),
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        "service_tier": "standard",
    }
