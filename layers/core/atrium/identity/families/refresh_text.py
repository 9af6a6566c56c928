"""The encoding of a refresh token: `atr_rt_<base62>`, for these 79 bytes:

    format 1 | pepper version 2 | family ULID 16 | tenant ULID 16 | sequence 4 | secret 24 | MAC 16

The MAC is an HMAC of all preceding bytes, with a pepper as key. So a forged token is rejected without a table read, and
an issued token is recognised even after its digest was deleted from the table. The digest is a different HMAC.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from atrium.kernel.crypto import base62_length, decode_base62, encode_base62, hmac_sha256, same
from atrium.kernel.ids import FamilyId, TenantId, decode_ulid, encode_ulid, own_ulid
from atrium.settings import Environment
from atrium.storage.secrets import Pepper

HEAD = "atr_rt_"
SECRET_BYTES = 24
_FORM = 1
_PROOF_BYTES = 16
_LENGTH = 1 + 2 + 16 + 16 + 4 + SECRET_BYTES + _PROOF_BYTES
_CHARACTERS = base62_length(_LENGTH)

type SeekPepper = Callable[[int], Pepper | None]


@dataclass(frozen=True, slots=True)
class EncodedRefreshToken:
    """The content of a refresh token whose MAC was verified. `body` contains all bytes before the MAC."""

    family_id: FamilyId
    tenant_id: TenantId
    sequence: int
    pepper_version: int
    digest: bytes = field(repr=False)
    body: bytes = field(repr=False)


def encode_refresh_token(
    environment: Environment, pepper: Pepper, *, family_id: FamilyId, tenant_id: TenantId, sequence: int, secret: bytes
) -> tuple[str, EncodedRefreshToken]:
    """Return the text of a new token and its content. The text is shown once."""
    body = b"".join([
        bytes([_FORM]),
        pepper.version.to_bytes(2),
        decode_ulid(own_ulid(family_id)),
        decode_ulid(own_ulid(tenant_id)),
        sequence.to_bytes(4),
        secret,
    ])  # fmt: skip
    text = HEAD + encode_base62(body + _prove(environment, pepper, body))
    return text, _read(body, pepper)


def decode_refresh_token(text: str, environment: Environment, seek_pepper: SeekPepper) -> EncodedRefreshToken | None:
    """Return the content of a token, or None if the token was not issued in this environment.

    Raises `Unavailable` if the pepper cannot be read.
    """
    encoded = text.removeprefix(HEAD)
    if len(text) - len(encoded) != len(HEAD) or len(encoded) != _CHARACTERS:
        return None
    try:
        raw = decode_base62(encoded, _LENGTH)
    except ValueError:
        return None
    body, proof = raw[:-_PROOF_BYTES], raw[-_PROOF_BYTES:]
    pepper = seek_pepper(int.from_bytes(body[1:3])) if body[0] == _FORM else None
    if pepper is None or not same(proof, _prove(environment, pepper, body)):
        return None
    return _read(body, pepper)


def derive_secret(pepper: Pepper, salt: bytes, parent: EncodedRefreshToken) -> bytes:
    """Return the secret of the token that follows `parent`.

    The same salt gives the same secret, so a repeated use of `parent` returns the same token.
    """
    return hmac_sha256(pepper.value, b"atrium refresh successor 1\n" + salt + parent.body)[:SECRET_BYTES]


def _read(body: bytes, pepper: Pepper) -> EncodedRefreshToken:
    return EncodedRefreshToken(
        family_id=FamilyId(f"fam_{encode_ulid(body[3:19])}"),
        tenant_id=TenantId(f"ten_{encode_ulid(body[19:35])}"),
        sequence=int.from_bytes(body[35:39]),
        pepper_version=pepper.version,
        digest=hmac_sha256(pepper.value, b"atrium refresh at rest 1\n" + body),
        body=body,
    )


def _prove(environment: Environment, pepper: Pepper, body: bytes) -> bytes:
    label = f"atrium refresh proof 1 {environment}\n".encode()
    return hmac_sha256(pepper.value, label + body)[:_PROOF_BYTES]
