"""The content of a run: every kind of block is read back unchanged, from the item or from S3."""

import json
import math
import random
import string
from typing import Any

import pytest
from atrium.llm.model import Block, Text, Thinking, ToolResult, ToolUse
from atrium.llm.normalise import DEPTH_MAX
from atrium.runs.items import (
    UNREADABLE,
    decode_blocks,
    decode_events,
    encode_block,
    encode_blocks,
    encode_events,
    load_payload,
    pack,
    references,
    store_payload,
    unpack,
)
from atrium.runs.model import RunEvent
from atrium.storage.blobs import INLINE_BYTES_MAX, BlobGone, TenantBlobs
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.images import FILES, PNG, image, image_block
from tests.builders.tenant_env import TENANT, TenantEnv

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
IMAGES = st.sampled_from([image(media_type) for media_type in FILES])
CONTENT = st.lists(st.builds(Text, TEXTS) | IMAGES, max_size=3).map(tuple)
BLOCKS: st.SearchStrategy[Block] = st.one_of(
    st.builds(Text, TEXTS),
    IMAGES,
    st.builds(Thinking, TEXTS, TEXTS, st.booleans()),
    st.builds(ToolUse, TEXTS, TEXTS, st.dictionaries(TEXTS, JSON, max_size=3)),
    st.builds(ToolResult, TEXTS, TEXTS | CONTENT, st.booleans()),
)


@pytest.fixture
def blobs(tenant_env: TenantEnv) -> TenantBlobs:
    return TenantBlobs(tenant_env.bucket, TENANT)


@given(st.lists(BLOCKS, max_size=4))
def test_reads_back_blocks(blocks: list[Block]) -> None:
    assert decode_blocks(unpack(pack(encode_blocks(blocks)))) == tuple(blocks)


@pytest.mark.parametrize(
    "stored", [{"type": "hologram"}, {"type": {}}, {}, None, 5, {"type": "text", "text": 5}, {"type": "tool_result"}]
)
def test_skips_a_block_of_an_unknown_type(stored: object) -> None:
    assert len(decode_blocks([stored, {"type": "text", "text": "a"}])) == 2


@pytest.mark.parametrize("broken", [image_block(data="?"), image_block("image/gif", data=PNG), {"type": "image"}])
def test_a_stored_image_that_is_not_valid_becomes_text(broken: dict[str, Any]) -> None:
    result = {"type": "tool_result", "tool_call_id": "c", "result": [broken, {"type": "thinking"}], "is_error": False}
    unreadable = Text(UNREADABLE)
    assert decode_blocks([broken, result]) == (unreadable, ToolResult("c", (unreadable, unreadable)))


def test_stores_a_large_image_in_s3(blobs: TenantBlobs, tenant_env: TenantEnv) -> None:
    blocks: list[Block] = [image("image/jpeg", size=100_000), Text("What is it?")]
    stored = store_payload(blobs, "question", "runs/1/question", encode_blocks(blocks))
    assert len(tenant_env.blobs()) == 1
    assert decode_blocks(load_payload(blobs, "question", stored)) == tuple(blocks)


def test_reads_old_unbounded_arguments() -> None:
    deep: object = 1
    for _ in range(300):
        deep = [deep]
    stored = pack([{"type": "tool_call", "tool_call_id": "a", "tool": "t", "args": {"x": math.nan, "deep": deep}}])
    (call,) = decode_blocks(unpack(stored))
    assert isinstance(call, ToolUse)
    assert call.input["x"] is None
    assert len(json.dumps(call.input, allow_nan=False)) < 200


def test_reads_old_unbounded_events() -> None:
    deep: object = 1
    for _ in range(300):
        deep = [deep]
    stored = pack(encode_events([RunEvent(2, "tool_call", {"args": {"deep": deep, "x": math.inf}})]))
    (event,) = decode_events(unpack(stored))
    assert event.data["args"]["x"] is None
    json.dumps(event.data, allow_nan=False)


def test_events_keep_arguments_of_the_greatest_depth() -> None:
    deep: object = 1
    for _ in range(DEPTH_MAX - 1):
        deep = [deep]
    event = RunEvent(2, "tool_call", {"args": {"deep": deep}})
    assert decode_events(unpack(pack(encode_events([event])))) == (event,)


def test_blocks_are_written_as_the_api_shows_them() -> None:
    assert encode_block(ToolUse("c1", "calculator", {"expression": "1"})) == {
        "type": "tool_call",
        "tool_call_id": "c1",
        "tool": "calculator",
        "args": {"expression": "1"},
    }


def test_replaces_half_surrogate_pairs() -> None:
    """A model's JSON may contain half of a surrogate pair, which DynamoDB and our responses cannot contain."""
    assert unpack(pack({"text": "a\ud83d!"})) == {"text": "a?!"}


def incompressible(size: int) -> str:
    return "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=size))


def content_of(packed_size: int) -> dict[str, Any]:
    """Return content whose packed size is exactly `packed_size` bytes."""
    text = incompressible(packed_size * 2)
    low, high = 0, len(text)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if len(pack({"text": text[:middle]})) < packed_size else (low, middle)
    content = {"text": text[:low]}
    assert len(pack(content)) == packed_size
    return content


def test_keeps_up_to_32_kb_in_the_item(blobs: TenantBlobs, tenant_env: TenantEnv) -> None:
    content = content_of(INLINE_BYTES_MAX)
    attributes = store_payload(blobs, "outcome", "runs/1/outcome", content)
    assert list(attributes) == ["outcome"]
    assert tenant_env.blobs() == []
    assert load_payload(blobs, "outcome", attributes) == content


def test_stores_more_than_32_kb_in_s3_with_a_preview(blobs: TenantBlobs, tenant_env: TenantEnv) -> None:
    content = content_of(INLINE_BYTES_MAX + 1)
    attributes = store_payload(blobs, "outcome", "runs/1/outcome", content)
    assert list(attributes) == ["outcome_ref", "outcome_excerpt"]
    assert attributes["outcome_excerpt"].startswith('{"text": "' + content["text"][:100])
    assert len(attributes["outcome_excerpt"]) == 500
    assert tenant_env.blobs() == [f"tenants/{TENANT}/{attributes['outcome_ref']}"]
    assert references(attributes) == [attributes["outcome_ref"]]
    assert load_payload(blobs, "outcome", attributes) == content


def test_blob_names_depend_on_content(blobs: TenantBlobs, tenant_env: TenantEnv) -> None:
    first, second = {"text": incompressible(60_000)}, {"text": incompressible(60_001)}
    stored = [store_payload(blobs, "outcome", "runs/1/outcome", content) for content in (first, first, second)]
    assert stored[0] == stored[1] != stored[2]
    assert len(tenant_env.blobs()) == 2
    assert load_payload(blobs, "outcome", stored[0]) == first


def test_keeps_compressible_content_in_the_item(blobs: TenantBlobs, tenant_env: TenantEnv) -> None:
    attributes = store_payload(blobs, "events", "runs/1/events/9", ["and so on"] * 100_000)
    assert len(attributes["events"]) < 10_000
    assert tenant_env.blobs() == []


def test_a_missing_blob_is_marked(blobs: TenantBlobs) -> None:
    assert load_payload(blobs, "outcome", {"status": "running"}) is None
    with pytest.raises(BlobGone):
        load_payload(blobs, "outcome", {"outcome_ref": "runs/1/outcome-0"})
