"""Converts runs to items and back. `question`, `outcome` and events are payloads; the other fields are plain
attributes.

A payload is compressed JSON. A payload of up to 32 kB is stored in the item, and a larger payload in S3. Compression
also saves write units (1 kB each), because an answer and its events contain the same text.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, assert_never, get_args

from atrium.kernel.clock import epoch_seconds, format_time, parse_time
from atrium.kernel.crypto import sha256_hex
from atrium.kernel.ids import AgentId, MessageId, RunId, TenantId
from atrium.llm.content import decode_image, encode_image, encode_result
from atrium.llm.model import Block, Image, ResultContent, Text, Thinking, ToolResult, ToolUse, Usage
from atrium.llm.normalise import DEPTH_MAX, clean_arguments, clean_json, clean_text
from atrium.quotas.model import Reservation
from atrium.runs.model import Message, MessageRole, Outcome, Routing, Run, RunError, RunEvent, Spend, Summary
from atrium.storage import keys
from atrium.storage.blobs import INLINE_BYTES_MAX, TenantBlobs

_EXCERPT_CHARACTERS = 500
_ROLES = frozenset(get_args(MessageRole.__value__))
_HASH_CHARACTERS = 16
_REFERENCE = "_ref"
SEGMENT = "segment_ref"
"""The attribute of an archived run with the reference of its segment (`atrium.runs.segments`)."""
_EVENT_DEPTH_MAX = DEPTH_MAX + 1  # the arguments of a tool call are a field of its event
_HALF_PAIRS = "replace"  # a model's JSON may contain unpaired surrogates, which UTF-8 cannot encode
_JSON = json.JSONDecoder(parse_constant=lambda _name: None)
UNREADABLE = "[content that this version cannot read]"


def opening_attributes(run: Run, tenant_id: TenantId) -> dict[str, Any]:
    """Return the attributes of an open run without its question, including the index keys.

    The sweeper finds an open run by its concurrency slot. A run without a slot is in the sweeper's index.
    """
    has_slot = run.reservation is not None and run.reservation.recorded
    swept = {} if has_slot else sweep_attributes(tenant_id, run.id)
    return {
        "id": run.id,
        "owner": run.owner,
        "agent_id": run.agent_id,
        "provider": run.provider,
        "model": run.model,
        "routing": asdict(run.routing) if run.routing else None,
        "status": run.status,
        "started_at": format_time(run.started_at),
        "lease": epoch_seconds(run.lease_until) if run.lease_until else None,
        "end_user": run.end_user or None,
        "reservation": run.reservation.to_item() if run.reservation else None,
        "own_keys": run.own_keys or None,
        "gsi1pk": keys.runs_of(run.owner),
        "gsi1sk": run.id,
        "gsi2pk": keys.all_runs(),
        "gsi2sk": run.id,
        **swept,
    }


def sweep_attributes(tenant_id: TenantId, run_id: RunId) -> dict[str, str]:
    """Return the keys of a run in the sweeper's index."""
    return {
        "sweep_pk": keys.sweep_partition(keys.sweep_shard(run_id)),
        "sweep_sk": keys.sweep_sort(tenant_id, run_id),
    }


def question_content(run: Run) -> dict[str, Any]:
    return {"message": encode_message(run.question), "metadata": dict(run.metadata)}


def outcome_content(outcome: Outcome) -> dict[str, Any]:
    return {
        "messages": [encode_message(message) for message in outcome.messages],
        "tail": encode_events(outcome.tail),
        **({"summary": asdict(outcome.summary)} if outcome.summary else {}),
    }


def closing_attributes(outcome: Outcome, at: datetime) -> dict[str, Any]:
    """Return the attributes that are set when a run ends, except the payload."""
    error = outcome.error
    return {
        "status": outcome.status,
        "stop_reason": outcome.stop_reason,
        "stop_sequence": outcome.stop_sequence,
        "spend": spend_attribute(outcome.spend),
        "last_sequence": outcome.last_sequence,
        "iterations": outcome.iterations,
        "degraded": outcome.degraded or None,
        "provider": outcome.provider or None,
        "model": outcome.model or None,
        "swept": outcome.swept or None,
        "mark": outcome.mark,
        "ended_at": format_time(at),
        "error_code": error.code if error else None,
        "error_detail": error.detail if error else None,
        "error_retryable": error.retryable if error else None,
        "error_retry_after": error.retry_after_seconds if error else None,
    }


def spend_attribute(spend: Spend) -> dict[str, Any]:
    tokens = spend.tokens
    return {
        "in": tokens.input_tokens,
        "out": tokens.output_tokens,
        "read": tokens.cache_read_tokens,
        "write": tokens.cache_write_tokens,
        "tools": dict(spend.tool_calls),
        "nanos": spend.cost_nanos,
        **({"estimated": True} if tokens.estimated else {}),
    }


def read_spend(data: Mapping[str, Any] | None) -> Spend:
    if not data:
        return Spend()
    tokens = Usage(data["in"], data["out"], data["read"], data["write"], estimated=bool(data.get("estimated")))
    return Spend(tokens, data["tools"], data["nanos"])


def read_run(item: Mapping[str, Any], blobs: TenantBlobs) -> Run:
    """Parse a run's item and load its payloads."""
    question = load_payload(blobs, "question", item)
    return Run(
        id=RunId(item["id"]),
        owner=item["owner"],
        agent_id=AgentId(item["agent_id"]),
        provider=item["provider"],
        model=item["model"],
        status=item["status"],
        question=decode_message(question["message"]),
        metadata=question["metadata"],
        started_at=parse_time(item["started_at"]),
        lease_until=datetime.fromtimestamp(item["lease"], UTC) if "lease" in item else None,
        ended_at=parse_time(item["ended_at"]) if "ended_at" in item else None,
        cancel_requested=bool(item.get("cancel")),
        end_user=item.get("end_user", ""),
        spend=read_spend(item.get("spend")),
        outcome=_read_outcome(item, blobs),
        reservation=_read_reservation(item),
        epoch=item.get("epoch", 0),
        waiting_for=tuple(item.get("waiting_for", ())),
        resumed_after=item.get("resumed_after", {}),
        routing=Routing(**item["routing"]) if "routing" in item else None,
        own_keys=frozenset(item.get("own_keys", ())),
    )


def _read_reservation(item: Mapping[str, Any]) -> Reservation | None:
    found = item.get("reservation")
    return Reservation.from_item(RunId(item["id"]), found) if found is not None else None


def _read_error(item: Mapping[str, Any]) -> RunError | None:
    if "error_code" not in item:
        return None
    return RunError(
        item["error_code"], item["error_detail"], item.get("error_retryable"), item.get("error_retry_after")
    )


def _read_outcome(item: Mapping[str, Any], blobs: TenantBlobs) -> Outcome | None:
    content = load_payload(blobs, "outcome", item)
    if content is None:
        return None
    return Outcome(
        status=item["status"],
        stop_reason=item.get("stop_reason"),
        spend=read_spend(item.get("spend")),
        messages=tuple(decode_message(each) for each in content["messages"]),
        tail=decode_events(content["tail"]),
        last_sequence=item["last_sequence"],
        iterations=item.get("iterations", 0),
        error=_read_error(item),
        degraded=bool(item.get("degraded")),
        swept=bool(item.get("swept")),
        summary=read_summary(content),
        stop_sequence=item.get("stop_sequence"),
        mark=item.get("mark", ""),
    )


def read_summary(content: Mapping[str, Any]) -> Summary | None:
    """Return the summary in an outcome's payload, or None."""
    data = content.get("summary")
    return Summary(clean_text(data["text"]), data["through"], data["partial"]) if data else None


def pack(content: object) -> bytes:
    return zlib.compress(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", _HALF_PAIRS))


def unpack(raw: bytes) -> Any:
    """Decompress and parse content. `NaN` and infinite numbers, which are not valid JSON, become null."""
    return _JSON.decode(zlib.decompress(raw).decode())


def store_payload(blobs: TenantBlobs, name: str, reference: str, content: object) -> dict[str, Any]:
    """Return the attributes that store content under `name`. Large content is first written to S3."""
    attributes, large = split_payload(name, reference, content)
    store_large(blobs, large)
    return attributes


def store_large(blobs: TenantBlobs, large: Mapping[str, bytes]) -> None:
    for reference, raw in large.items():
        blobs.put(reference, raw, content_type="application/zlib")


def split_payload(name: str, reference: str, content: object) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the attributes that store content under `name`, and the blob by its reference if the content is large.

    The reference ends with the hash of the content. A retry therefore writes the same blob, and a worker and the
    sweeper that write different content for the same item write different blobs.
    """
    raw = pack(content)
    if len(raw) <= INLINE_BYTES_MAX:
        return {name: raw}, {}
    reference = f"{reference}-{sha256_hex(raw)[:_HASH_CHARACTERS]}"
    excerpt = json.dumps(content)[:_EXCERPT_CHARACTERS]
    return {f"{name}{_REFERENCE}": reference, f"{name}_excerpt": excerpt}, {reference: raw}


def load_payload(blobs: TenantBlobs, name: str, item: Mapping[str, Any]) -> Any:
    """Return the content that `store_payload` stored, or None if there is none. Raise `BlobGone` for a deleted blob."""
    if name in item:
        return unpack(item[name])
    if f"{name}{_REFERENCE}" in item:
        return unpack(blobs.get(item[f"{name}{_REFERENCE}"]))
    return None


def references(item: Mapping[str, Any]) -> list[str]:
    """Return the blob references of an item."""
    return [value for attribute, value in item.items() if attribute.endswith(_REFERENCE)]


def encode_message(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "role": message.role,
        "at": format_time(message.created_at),
        "content": encode_blocks(message.content),
    }


def decode_message(data: dict[str, Any]) -> Message:
    role: MessageRole = data["role"] if data["role"] in _ROLES else "assistant"
    return Message(MessageId(data["id"]), role, decode_blocks(data["content"]), parse_time(data["at"]))


def encode_events(events: tuple[RunEvent, ...] | list[RunEvent]) -> list[list[Any]]:
    return [[event.sequence, event.type, dict(event.data)] for event in events]


def decode_events(data: list[list[Any]]) -> tuple[RunEvent, ...]:
    """Decode the events that `encode_events` returned.

    Content from a model is normalised again, because older events were stored without normalisation.
    """
    return tuple(
        RunEvent(sequence, kind, clean_json(fields, depth_max=_EVENT_DEPTH_MAX)[0]) for sequence, kind, fields in data
    )


def encode_block(block: Block) -> dict[str, Any]:
    """Encode a block in the format of the API."""
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case Image():
            return encode_image(block)
        case Thinking(text, signature, redacted):
            return {"type": "thinking", "text": text, "signature": signature, "redacted": redacted}
        case ToolUse(id=call, name=name, input=arguments):
            return {"type": "tool_call", "tool_call_id": call, "tool": name, "args": dict(arguments)}
        case ToolResult(tool_use_id=call, content=content, is_error=is_error):
            result = encode_result(content)
            return {"type": "tool_result", "tool_call_id": call, "result": result, "is_error": is_error}
        case _:
            assert_never(block)


def decode_block(data: object) -> Block:
    """Decode a block. Invalid stored data is repaired, so that a session can always be read.

    A block of an unknown type is replaced by the text `UNREADABLE`. A field of the wrong type becomes empty.
    """
    fields = data if isinstance(data, dict) else {}
    match fields.get("type"):
        case "text":
            return Text(_text(fields, "text"))
        case "image":
            return decode_image(fields) or Text(UNREADABLE)
        case "thinking":
            return Thinking(_text(fields, "text"), _text(fields, "signature"), fields.get("redacted") is True)
        case "tool_call":
            arguments, _ = clean_arguments(fields.get("args"))
            return ToolUse(_text(fields, "tool_call_id"), _text(fields, "tool"), arguments)
        case "tool_result":
            is_error = fields.get("is_error") is not False
            return ToolResult(_text(fields, "tool_call_id"), _result(fields.get("result")), is_error)
        case _:
            return Text(UNREADABLE)


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    return clean_text(value) if isinstance(value, str) else ""


def _result(stored: object) -> ResultContent:
    if not isinstance(stored, list):
        return clean_text(stored) if isinstance(stored, str) else ""
    blocks = decode_blocks(stored)
    return tuple(block if isinstance(block, Text | Image) else Text(UNREADABLE) for block in blocks)


def encode_blocks(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    return [encode_block(block) for block in blocks]


def decode_blocks(data: object) -> tuple[Block, ...]:
    return tuple(decode_block(each) for each in data) if isinstance(data, list) else ()
