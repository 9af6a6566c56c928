"""Ids have one format, are sortable by time, and are validated when they are parsed."""

from datetime import UTC, datetime, timedelta

import pytest
from atrium.kernel.ids import (
    SessionId,
    decode_ulid,
    encode_ulid,
    is_id,
    mint_run_id,
    mint_session_id,
    mint_tenant_id,
    own_ulid,
    read_time,
    session_of,
)
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ULID = "01k6r5m2x8f3v9q4w7t1y0z5ab"


@given(st.binary(min_size=16, max_size=16))
def test_a_ulid_encodes_its_bytes(raw: bytes) -> None:
    text = encode_ulid(raw)
    assert len(text) == 26
    assert decode_ulid(text) == raw


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_ulids_sort_like_their_bytes(left: bytes, right: bytes) -> None:
    assert (encode_ulid(left) < encode_ulid(right)) == (left < right)


@pytest.mark.parametrize(
    "text",
    ["", ULID.upper(), ULID[:-1], ULID + "0", "8" + ULID[1:], ULID.replace("k", "u"), ULID[:-1] + "#", ULID + "\n"],
)
def test_rejects_invalid_ulids(text: str) -> None:
    with pytest.raises(ValueError, match="not a ULID"):
        decode_ulid(text)
    assert not is_id(f"ten_{text}", "ten")


@pytest.mark.parametrize(
    ("text", "prefix", "expected"),
    [
        (f"ten_{ULID}", "ten", True),
        (f"usr_{ULID}", "ten", False),
        (f"ten{ULID}", "ten", False),
        (f"ten__{ULID}", "ten", False),
        (f"ten_{ULID}_", "ten", False),
        (f"run_{ULID}", "run", False),
        (f"run_{ULID}{ULID}", "run", True),
        (f"run_{ULID}{ULID}x", "run", False),
        (f"run_{ULID}{ULID[:-1]}#", "run", False),
        (f"ses_{ULID}{ULID}", "ses", False),
    ],
)
def test_is_id(text: str, prefix: str, expected: bool) -> None:
    assert is_id(text, prefix) is expected


@given(st.integers(min_value=0, max_value=10**6))
def test_time_is_read_to_the_millisecond(offset_ms: int) -> None:
    moment = NOON + timedelta(milliseconds=offset_ms)
    assert read_time(mint_session_id(moment)) == moment


@given(st.integers(min_value=0, max_value=10**6))
def test_the_next_millisecond_makes_a_greater_id(offset_ms: int) -> None:
    session = mint_session_id(NOON)
    first = mint_run_id(NOON + timedelta(milliseconds=offset_ms), session)
    assert mint_run_id(read_time(first) + timedelta(milliseconds=1), session) > first


def test_ids_are_unique() -> None:
    assert len({mint_tenant_id(NOON) for _ in range(1_000)}) == 1_000


def test_a_run_id_contains_its_session_id() -> None:
    session = mint_session_id(NOON)
    run = mint_run_id(NOON + timedelta(seconds=5), session)
    assert session_of(run) == session
    assert is_id(run, "run")
    assert read_time(run) == NOON + timedelta(seconds=5)
    assert own_ulid(run) not in own_ulid(session)


@pytest.mark.parametrize("text", ["", "ten_", "ten_x", "7" * 26, f"ten_{'7' + 'z' * 25}"])
def test_rejects_the_time_of_an_invalid_id(text: str) -> None:
    """The last example is a ULID whose time is after the year 9999."""
    with pytest.raises(ValueError, match=r"not a ULID|out of range"):
        read_time(SessionId(text))
