"""A cursor is accepted only by the list that issued it."""

import json

import pytest
from atrium.kernel.crypto import decode_base64url, encode_base64url
from atrium.kernel.errors import InvalidCursor
from atrium.kernel.pagination import CursorSigner, Page
from hypothesis import given
from hypothesis import strategies as st

SIGNER = CursorSigner(lambda: b"k" * 32)
POSITION = {"pk": "SESSION#ses_1", "sk": "RUN#2"}
SCOPE = "ten_1\nsessions\n*"


def sealed() -> str:
    cursor = SIGNER.sign(POSITION, scope=SCOPE)
    assert cursor is not None
    return cursor


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=40), max_size=6), st.text(max_size=40))
def test_round_trip(position: dict[str, str], scope: str) -> None:
    assert SIGNER.open(SIGNER.sign(position, scope=scope), scope=scope) == position


def test_no_cursor_means_the_beginning() -> None:
    assert SIGNER.sign(None, scope=SCOPE) is None
    assert SIGNER.open(None, scope=SCOPE) is None


@pytest.mark.parametrize("scope", ["ten_2\nsessions\n*", "ten_1\nruns\n*", "ten_1\nsessions\nkey_1", ""])
def test_rejects_a_cursor_of_another_tenant_list_or_view(scope: str) -> None:
    with pytest.raises(InvalidCursor):
        SIGNER.open(sealed(), scope=scope)


def test_rejects_a_cursor_signed_with_another_key() -> None:
    with pytest.raises(InvalidCursor):
        CursorSigner(lambda: b"l" * 32).open(sealed(), scope=SCOPE)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_rejects_a_changed_byte(at: int, flip: int) -> None:
    raw = bytearray(decode_base64url(sealed()))
    raw[at % len(raw)] ^= flip
    with pytest.raises(InvalidCursor):
        SIGNER.open(encode_base64url(bytes(raw)), scope=SCOPE)


@pytest.mark.parametrize(
    "cursor", ["", "x", "AAAA", "é", "=" * 8, encode_base64url(json.dumps(POSITION).encode()), "A" * 5_000]
)
def test_rejects_invalid_cursors(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        SIGNER.open(cursor, scope=SCOPE)


def test_authenticates_the_boundary_of_scope_and_body() -> None:
    cursor = SIGNER.sign({"a": "b"}, scope="x")
    body = json.dumps({"a": "b"}, separators=(",", ":"))
    with pytest.raises(InvalidCursor):
        SIGNER.open(cursor, scope="x\0" + body)


def test_mapping_a_page_keeps_its_position() -> None:
    assert Page([1, 2], POSITION).map(str) == Page(["1", "2"], POSITION)
