"""A run's bulk: JSON, compressed, inside the item up to 32 kB and in S3 beyond.

Compression is not only for size: an answer and the events that brought it hold the same words, and a
write unit is 1 kB.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any, get_args

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.crypto import sha256_hex
from atrium.kernel.ids import MessageId
from atrium.llm.normalise import DEPTH_MAX, clean_json
from atrium.runs.blocks import decode_blocks, encode_blocks
from atrium.runs.model import Message, MessageRole, RunEvent
from atrium.storage.blobs import INLINE_BYTES_MAX, TenantBlobs

_EXCERPT_CHARACTERS = 500
_ROLES = frozenset(get_args(MessageRole.__value__))
_HASH_CHARACTERS = 16
_REFERENCE = "_ref"
_EVENT_DEPTH_MAX = DEPTH_MAX + 1  # the arguments of a tool call are a field of its event
_HALF_PAIRS = "replace"  # a model's JSON may hold half of a surrogate pair, which no answer of ours could carry


def pack(content: object) -> bytes:
    return zlib.compress(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", _HALF_PAIRS))


def unpack(raw: bytes) -> Any:
    """Return the content; a number that is not finite, which JSON does not have, is null."""
    return json.loads(zlib.decompress(raw), parse_constant=lambda _name: None)


def store_payload(blobs: TenantBlobs, name: str, reference: str, content: object) -> dict[str, Any]:
    """Return the attributes that hold the content under `name`; large content is put to S3 first.

    The reference ends with the content's hash: a retry writes the same blob again, and two who write different
    content for one item (a worker and the sweeper) never replace each other's.
    """
    raw = pack(content)
    if len(raw) <= INLINE_BYTES_MAX:
        return {name: raw}
    reference = f"{reference}-{sha256_hex(raw)[:_HASH_CHARACTERS]}"
    blobs.put(reference, raw, content_type="application/zlib")
    return {f"{name}{_REFERENCE}": reference, f"{name}_excerpt": json.dumps(content)[:_EXCERPT_CHARACTERS]}


def load_payload(blobs: TenantBlobs, name: str, item: Mapping[str, Any]) -> Any:
    """Return the content that `store_payload` put away, or None where there is none; `BlobGone` while it is removed."""
    if name in item:
        return unpack(item[name])
    if f"{name}{_REFERENCE}" in item:
        return unpack(blobs.get(item[f"{name}{_REFERENCE}"]))
    return None


def references(item: Mapping[str, Any]) -> list[str]:
    """Return the blobs that an item refers to."""
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
    """Read what `encode_events` made; what a model wrote is bounded again, in case it was stored before it was."""
    return tuple(
        RunEvent(sequence, kind, clean_json(fields, depth_max=_EVENT_DEPTH_MAX)[0]) for sequence, kind, fields in data
    )
