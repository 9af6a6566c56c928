"""Texts that contain a payload and its MAC, encoded as base62. The MAC is an HMAC with a pepper as key.

A forged text is rejected without a table read.
"""

from collections.abc import Callable

from atrium.kernel.crypto import base62_length, decode_base62, encode_base62, hmac_sha256, same
from atrium.storage.secrets import Pepper

PROOF_BYTES = 16
_VERSION_BYTES = 2

type SeekPepper = Callable[[int], Pepper | None]


def write_proven(head: str, label: str, pepper: Pepper, payload: bytes) -> str:
    """Return the text for a payload. Each kind of text and each environment must have a different `label`."""
    body = pepper.version.to_bytes(_VERSION_BYTES) + payload
    return head + encode_base62(body + _prove(label, pepper, body))


def read_proven(text: str, head: str, label: str, length: int, seek_pepper: SeekPepper) -> tuple[bytes, Pepper] | None:
    """Return the payload and the pepper of the MAC, or None if the text is malformed or its MAC is not valid."""
    size = _VERSION_BYTES + length + PROOF_BYTES
    encoded = text.removeprefix(head)
    if len(text) - len(encoded) != len(head) or len(encoded) != base62_length(size):
        return None
    try:
        raw = decode_base62(encoded, size)
    except ValueError:
        return None
    body, proof = raw[:-PROOF_BYTES], raw[-PROOF_BYTES:]
    pepper = seek_pepper(int.from_bytes(body[:_VERSION_BYTES]))
    if pepper is None or not same(proof, _prove(label, pepper, body)):
        return None
    return body[_VERSION_BYTES:], pepper


def _prove(label: str, pepper: Pepper, body: bytes) -> bytes:
    return hmac_sha256(pepper.value, label.encode() + b"\n" + body)[:PROOF_BYTES]
