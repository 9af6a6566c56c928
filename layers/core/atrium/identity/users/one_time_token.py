"""One-time tokens, with which a user accepts an invitation or resets their password.

    atr_once_<base62>       version 1 | user ULID 16 | tenant ULID 16 | secret 24 | CRC32 4

The text contains the ids of the user and the tenant, so that the user is found with one read. The CRC includes the
environment. It detects typos without a table read but does not authenticate the token. The table stores an HMAC of the
token, with a pepper as key. A user has at most one token: a new token replaces the previous token, and a token is
deleted when it is used.
"""

import secrets
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from atrium.kernel.crypto import base62_length, decode_base62, encode_base62, hmac_sha256
from atrium.kernel.ids import TenantId, UserId, decode_ulid, encode_ulid, own_ulid
from atrium.settings import Environment
from atrium.storage.secrets import Pepper

type Purpose = Literal["invitation", "reset"]

LIFETIME: dict[Purpose, timedelta] = {"invitation": timedelta(days=7), "reset": timedelta(hours=1)}
TEXT_MAX = 128
_HEAD = "atr_once_"
_VERSION = 1
_ULID_BYTES = 16
_SECRET_BYTES = 24
_CRC_BYTES = 4
_LENGTH = 1 + 2 * _ULID_BYTES + _SECRET_BYTES + _CRC_BYTES


@dataclass(frozen=True, slots=True)
class OneTimeToken:
    """The stored one-time token of a user."""

    purpose: Purpose
    digest: bytes = field(repr=False)
    pepper_version: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class EncodedOneTimeToken:
    """The content of a one-time token. `proof` contains all bytes before the CRC."""

    user_id: UserId
    tenant_id: TenantId
    proof: bytes = field(repr=False)

    def digest(self, pepper: bytes) -> bytes:
        return hmac_sha256(pepper, b"atrium one-time token 1\n" + self.proof)


def mint_one_time_token(
    environment: Environment,
    pepper: Pepper,
    *,
    user_id: UserId,
    tenant_id: TenantId,
    purpose: Purpose,
    now: datetime,
) -> tuple[str, OneTimeToken]:
    """Return the text of a new one-time token and the record to store. The text is shown once."""
    owner = decode_ulid(own_ulid(user_id)) + decode_ulid(own_ulid(tenant_id))
    proof = bytes([_VERSION]) + owner + secrets.token_bytes(_SECRET_BYTES)
    encoded = EncodedOneTimeToken(user_id, tenant_id, proof)
    one_time_token = OneTimeToken(purpose, encoded.digest(pepper.value), pepper.version, now + LIFETIME[purpose])
    return _HEAD + encode_base62(proof + _checksum(environment, proof)), one_time_token


def parse_one_time_token(text: str, environment: Environment) -> EncodedOneTimeToken | None:
    """Return the content of a one-time token, or None if the text is malformed or from another environment."""
    body = text.removeprefix(_HEAD)
    if len(text) - len(body) != len(_HEAD) or len(body) != base62_length(_LENGTH):
        return None
    try:
        raw = decode_base62(body, _LENGTH)
        proof = raw[:-_CRC_BYTES]
        if raw[-_CRC_BYTES:] != _checksum(environment, proof) or proof[0] != _VERSION:
            return None
        user, tenant = proof[1 : 1 + _ULID_BYTES], proof[1 + _ULID_BYTES : 1 + 2 * _ULID_BYTES]
        user_id, tenant_id = UserId(f"usr_{encode_ulid(user)}"), TenantId(f"ten_{encode_ulid(tenant)}")
    except ValueError:
        return None
    return EncodedOneTimeToken(user_id, tenant_id, proof)


def _checksum(environment: Environment, proof: bytes) -> bytes:
    return zlib.crc32(f"{_HEAD}{environment}".encode() + proof).to_bytes(_CRC_BYTES)
