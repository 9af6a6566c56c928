"""Functions for hashes, keyed hashes, base64url and base62."""

import base64
import hashlib
import hmac

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE62_VALUES = {letter: value for value, letter in enumerate(_BASE62)}


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def same(left: bytes, right: bytes) -> bool:
    """Compare two values in constant time."""
    return hmac.compare_digest(left, right)


def sha256_hex(message: bytes) -> str:
    return hashlib.sha256(message).hexdigest()


def encode_base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    """Decode unpadded base64url; raise `ValueError` if the text is not canonical."""
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if encode_base64url(raw) != text:
        raise ValueError("not canonical base64url")
    return raw


def encode_base62(raw: bytes) -> str:
    """Encode bytes as base62.

    The length of the result depends only on the number of bytes. It is the smallest length that fits all values.
    """
    number, digits = int.from_bytes(raw), []
    for _ in range(base62_length(len(raw))):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def decode_base62(text: str, length: int) -> bytes:
    """Decode a base62 text to `length` bytes; raise `ValueError` if it is not a result of `encode_base62`."""
    if len(text) != base62_length(length):
        raise ValueError("wrong length")
    number = 0
    for letter in text:
        if letter not in _BASE62_VALUES:
            raise ValueError("not base62")
        number = number * 62 + _BASE62_VALUES[letter]
    if number >> (8 * length):
        raise ValueError("too large")
    return number.to_bytes(length)


def base62_length(length: int) -> int:
    """Return the number of base62 characters for `length` bytes."""
    width, reach = 0, 1
    while reach < 1 << (8 * length):
        width, reach = width + 1, reach * 62
    return width
