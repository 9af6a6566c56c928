"""Encodings are one-to-one: only the canonical text of a value can be decoded."""

import pytest
from atrium.kernel.crypto import (
    base62_length,
    decode_base62,
    decode_base64url,
    encode_base62,
    encode_base64url,
    hmac_sha256,
    same,
    sha256_hex,
)
from hypothesis import given
from hypothesis import strategies as st


@given(st.binary(max_size=64))
def test_base64url_round_trip(raw: bytes) -> None:
    assert decode_base64url(encode_base64url(raw)) == raw


@pytest.mark.parametrize("text", ["A", "AB", "QQ==", "Q Q", "+/+/", "QR", "é", "QUI\n"])
def test_base64url_accepts_only_canonical_texts(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_base64url(text)


@given(st.binary(min_size=1, max_size=64))
def test_base62_round_trip_in_fixed_width(raw: bytes) -> None:
    text = encode_base62(raw)
    assert len(text) == base62_length(len(raw))
    assert decode_base62(text, len(raw)) == raw


@pytest.mark.parametrize(("text", "length"), [("", 1), ("0", 1), ("000", 1), ("zz", 1), ("4-", 1), ("0٣", 1)])
def test_base62_rejects_non_canonical_texts(text: str, length: int) -> None:
    with pytest.raises(ValueError, match=r"wrong length|not base62|too large"):
        decode_base62(text, length)


def test_hashes_are_the_standard_ones() -> None:
    """The expected values are from RFC 4231 (test case 2) and FIPS 180-4 (empty message)."""
    mac = hmac_sha256(b"Jefe", b"what do ya want for nothing?")
    assert mac.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.binary(max_size=8), st.binary(max_size=8))
def test_same_compares_values(left: bytes, right: bytes) -> None:
    assert same(left, right) is (left == right)
