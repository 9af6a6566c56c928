"""Segments: objects in S3 that contain the payloads of archived runs of one session.

    header      {"version": 1, "runs": [["<ULID>", {"question": 812, "outcome": 1204}], …]} and a line feed
    payloads    in the order of the header, each with the number of bytes that the header states

The payloads are the bytes that the table stored (`items.pack`), so a run is the same before and after it is archived.
They are already compressed. The reference of a segment ends with the hash of its content: equal runs make an equal
segment, and damaged content is detected. A segment has at most `SEGMENT_BYTES_MAX` bytes of payloads and is read as a
whole. Only payloads that are in the table are archived. Larger payloads are in S3 from the start (`items`).

The run's item stays in the table with all other attributes. Lists, counters and the ledger need nothing else.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from atrium.kernel.crypto import sha256_hex
from atrium.kernel.ids import SessionId
from atrium.runs.items import SEGMENT, pack, unpack
from atrium.storage import keys
from atrium.storage.blobs import BlobGone, TenantBlobs
from atrium.storage.keys import Key
from atrium.storage.table import TenantTable

type Item = dict[str, Any]
type Payloads = Mapping[str, bytes]

SEGMENT_BYTES_MAX = 262_144
CONTENT_TYPE = "application/octet-stream"
_VERSION = 1
_HASH_CHARACTERS = 32
_NAMES = ("question", "outcome")
_RUN = "RUN#"


class SegmentDamaged(Exception):
    """The content of a segment does not have the hash in its reference, or has a format of a later version."""


def payloads_of(item: Item) -> Payloads:
    """Return the payloads that are in the item."""
    return {name: item[name] for name in _NAMES if name in item}


def ulid_of(item: Item) -> str:
    return str(item["sk"]).removeprefix(_RUN)


def encode_segment(items: Iterable[Item]) -> bytes:
    """Return the segment of runs whose items contain their payloads."""
    runs = [(ulid_of(item), payloads_of(item)) for item in items]
    sizes = [[ulid, {name: len(raw) for name, raw in payloads.items()}] for ulid, payloads in runs]
    header = json.dumps({"version": _VERSION, "runs": sizes}, separators=(",", ":")).encode()
    return b"\n".join([header, b"".join(raw for _, payloads in runs for raw in payloads.values())])


def segment_reference(session_id: SessionId, segment: bytes) -> str:
    return f"sessions/{session_id}/{sha256_hex(segment)[:_HASH_CHARACTERS]}"


def decode_segment(reference: str, segment: bytes) -> dict[str, Payloads]:
    """Return the payloads by the ULID of their run. Raise `SegmentDamaged` for other content than was stored."""
    if not reference.endswith(f"/{sha256_hex(segment)[:_HASH_CHARACTERS]}"):
        raise SegmentDamaged(reference)
    header, _, rest = segment.partition(b"\n")
    described = json.loads(header)
    if described["version"] != _VERSION:
        raise SegmentDamaged(reference)
    found: dict[str, Payloads] = {}
    at = 0
    for ulid, sizes in described["runs"]:
        found[ulid] = {}
        for name, size in sizes.items():
            found[ulid] = {**found[ulid], name: rest[at : at + size]}
            at += size
    return found


def restore(table: TenantTable, blobs: TenantBlobs, item: Item, last: dict[str, Any]) -> Item:
    """Return an archived run's item with its payloads. `last` keeps the last segment, which the next run may need.

    The archiver may have merged the segment after the item was read. The item is then read again. Raises `BlobGone` if
    the session is being deleted, and `SegmentDamaged` if the segment of another session is missing.
    """
    reference: str = item[SEGMENT]
    if reference not in last:
        try:
            content = blobs.get(reference)
        except BlobGone:
            session = keys.session(_session_of(reference))
            current = table.get(Key(session.partition, item["sk"])) or item
            if current.get(SEGMENT, reference) == reference:
                if "deleted" in (table.get(session) or {"deleted": True}):
                    raise
                raise SegmentDamaged(reference) from None
            return restore(table, blobs, {**item, SEGMENT: current[SEGMENT]}, last)
        last.clear()
        last[reference] = decode_segment(reference, content)
    return {**item, **last[reference][ulid_of(item)]}


def _session_of(reference: str) -> SessionId:
    return SessionId(reference.split("/")[1])


def metadata_of(item: Item) -> Mapping[str, Any]:
    """Return the metadata in the question that is in a run's item, or an empty mapping."""
    metadata: Mapping[str, Any] = unpack(item["question"])["metadata"] if "question" in item else {}
    return metadata


def archived_attributes(item: Item, reference: str) -> dict[str, Any]:
    """Return the attributes that replace the payloads of a run. Lists show the metadata of a run."""
    metadata = metadata_of(item)
    return {SEGMENT: reference, **({"metadata": pack(metadata)} if metadata else {})}


def without_messages(item: Item) -> Item:
    """Return an archived run's item with payloads that contain no messages and no events."""
    metadata = unpack(item["metadata"]) if "metadata" in item else {}
    message = {"id": "", "role": "user", "at": item["started_at"], "content": []}
    payloads = {"question": {"message": message, "metadata": metadata}, "outcome": {"messages": [], "tail": []}}
    return {**{name: pack(content) for name, content in payloads.items() if f"{name}_ref" not in item}, **item}
