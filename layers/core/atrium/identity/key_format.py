"""The encoding of an API key: `atr_<environment>_<base62>`. The base62 part has 82 characters for 61 bytes:

    version 1 | key ULID 16 | tenant ULID 16 (zeros for a platform key) | secret 24 | CRC32 4

The CRC includes `atr_<environment>_`. So a key with a typo, or from another environment, is rejected without a table
read. Authentication compares the HMAC of all bytes before the CRC (`digest`); the HMAC key is a pepper. The key ULID is
before the tenant ULID, so that the displayed prefix identifies the key within its tenant.
"""

import secrets
import zlib
from dataclasses import dataclass, field

from atrium.kernel.crypto import base62_length, decode_base62, encode_base62, hmac_sha256
from atrium.kernel.ids import KeyId, TenantId, decode_ulid, encode_ulid, own_ulid
from atrium.settings import Environment

SCHEME = "atr"
PREFIX_CHARACTERS = 16
_VERSION = 1
_ULID_BYTES = 16
_SECRET_BYTES = 24
_CRC_BYTES = 4
_LENGTH = 1 + 2 * _ULID_BYTES + _SECRET_BYTES + _CRC_BYTES
_NO_TENANT = bytes(_ULID_BYTES)


@dataclass(frozen=True, slots=True)
class EncodedKey:
    """The content of an API key. `tenant_id` is None for a platform key. `proof` contains all bytes before the CRC."""

    key_id: KeyId
    tenant_id: TenantId | None
    proof: bytes = field(repr=False)

    def digest(self, pepper: bytes) -> bytes:
        """Return the HMAC that is stored instead of the key. The key cannot be derived from the HMAC."""
        return hmac_sha256(pepper, self.proof)


def mint_key(environment: Environment, key_id: KeyId, tenant_id: TenantId | None) -> tuple[str, EncodedKey]:
    """Return the text of a new key and its content. The text is shown once."""
    tenant = decode_ulid(own_ulid(tenant_id)) if tenant_id else _NO_TENANT
    proof = bytes([_VERSION]) + decode_ulid(own_ulid(key_id)) + tenant + secrets.token_bytes(_SECRET_BYTES)
    text = _head(environment) + encode_base62(proof + _checksum(environment, proof))
    return text, EncodedKey(key_id, tenant_id, proof)


def parse_key(text: str, environment: Environment) -> EncodedKey | None:
    """Return the content of a key, or None if the key is malformed or from another environment."""
    head = _head(environment)
    body = text.removeprefix(head)
    if len(text) - len(body) != len(head) or len(body) != base62_length(_LENGTH):
        return None
    try:
        raw = decode_base62(body, _LENGTH)
        proof, checksum = raw[:-_CRC_BYTES], raw[-_CRC_BYTES:]
        if checksum != _checksum(environment, proof) or proof[0] != _VERSION:
            return None
        key, tenant = proof[1 : 1 + _ULID_BYTES], proof[1 + _ULID_BYTES : 1 + 2 * _ULID_BYTES]
        key_id = KeyId(f"key_{encode_ulid(key)}")
        tenant_id = None if tenant == _NO_TENANT else TenantId(f"ten_{encode_ulid(tenant)}")
    except ValueError:
        return None
    return EncodedKey(key_id, tenant_id, proof)


def looks_like_key(text: str) -> bool:
    """Return whether a credential starts with the prefix of all API keys, `atr_`."""
    return text.startswith(f"{SCHEME}_")


def show_prefix(text: str) -> str:
    """Return the first characters of a key, which identify the key in lists and contain no part of the secret."""
    return text[: text.rindex("_") + 1 + PREFIX_CHARACTERS]


def _head(environment: Environment) -> str:
    return f"{SCHEME}_{environment}_"


def _checksum(environment: Environment, proof: bytes) -> bytes:
    return zlib.crc32(_head(environment).encode() + proof).to_bytes(_CRC_BYTES)
