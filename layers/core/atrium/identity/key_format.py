"""The text of an API key: `atr_<environment>_<base62>`, 82 characters of base62 for 61 bytes.

    version 1 | key's ULID 16 | tenant's ULID 16 (zeros: a platform key) | secret 24 | CRC32 4

The CRC covers `atr_<environment>_` too, so that a typo or another environment's key is refused with no look at the
table. It is no proof: the HMAC of all before the CRC, under a pepper, is (`digest`). The key's ULID stands first
because it differs between a tenant's keys, so the prefix that is shown tells them apart.
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
class KeyText:
    """What a key's text says. `tenant_id` is None for a platform key; `digest` needs the whole."""

    key_id: KeyId
    tenant_id: TenantId | None
    proof: bytes = field(repr=False)

    def digest(self, pepper: bytes) -> bytes:
        """Return what is kept of the key: nothing that the table alone could turn back."""
        return hmac_sha256(pepper, self.proof)


def mint_key(environment: Environment, key_id: KeyId, tenant_id: TenantId | None) -> tuple[str, KeyText]:
    """Make a key's text, to be shown once, and what it says."""
    tenant = decode_ulid(own_ulid(tenant_id)) if tenant_id else _NO_TENANT
    proof = bytes([_VERSION]) + decode_ulid(own_ulid(key_id)) + tenant + secrets.token_bytes(_SECRET_BYTES)
    text = _head(environment) + encode_base62(proof + _checksum(environment, proof))
    return text, KeyText(key_id, tenant_id, proof)


def parse_key(text: str, environment: Environment) -> KeyText | None:
    """Read a key's text; None if it is none of this environment, or mistyped."""
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
    return KeyText(key_id, tenant_id, proof)


def looks_like_key(text: str) -> bool:
    """Tell whether a credential means to be an API key, of whatever environment."""
    return text.startswith(f"{SCHEME}_")


def show_prefix(text: str) -> str:
    """Return the beginning by which a person tells keys apart; it holds nothing of the secret."""
    return text[: text.rindex("_") + 1 + PREFIX_CHARACTERS]


def _head(environment: Environment) -> str:
    return f"{SCHEME}_{environment}_"


def _checksum(environment: Environment, proof: bytes) -> bytes:
    return zlib.crc32(_head(environment).encode() + proof).to_bytes(_CRC_BYTES)
