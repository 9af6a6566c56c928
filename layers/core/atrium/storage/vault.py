"""Secrets of tenants at rest: envelope encryption with KMS. Each write has a data key of its own (AES-256-GCM), which
is kept beside it, wrapped by the platform's key under the tenant's id as encryption context: KMS does not unwrap it
for another tenant, whoever moves it there.

    version 1 | length of the wrapped key 2 | wrapped key | nonce 12 | ciphertext and tag
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import TenantId, is_id
from atrium.storage.failures import translated

if TYPE_CHECKING:
    from types_boto3_kms import KMSClient

_VERSION = b"\x01"
_NONCE_BYTES = 12
_PASSING = frozenset({"DependencyTimeoutException", "KeyUnavailableException", "KMSInternalException"})


class SealBroken(Exception):
    """What was sealed does not open here: it is another tenant's, of another purpose, or damaged."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A client and a KMS key's name; worth nothing until it is bound to a tenant."""

    client: KMSClient
    key_id: str


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key for the secrets of one write, and itself as it is kept: wrapped by KMS for one tenant."""

    plain: bytes = field(repr=False)
    wrapped: bytes = field(repr=False)
    tenant_id: str

    def seal(self, purpose: str, secret: str) -> bytes:
        """Encrypt a text."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self.plain).encrypt(nonce, secret.encode(), _bound(self.tenant_id, purpose))
        return _VERSION + len(self.wrapped).to_bytes(2) + self.wrapped + nonce + sealed


class TenantVault:
    """One tenant's secrets. `purpose` says what a secret is and whose: it opens for the same purpose only."""

    def __init__(self, master: MasterKey, tenant_id: TenantId) -> None:
        if not is_id(tenant_id, "ten"):
            raise ValueError("not a tenant's id")
        self._master = master
        self._context = {"tenant": tenant_id}

    def begin(self) -> DataKey:
        """Return a new data key for one write. One call to KMS; what is sealed after it needs none."""
        if not self._master.key_id:
            raise Unavailable(internal="this function's environment names no key for tenants' secrets")
        with translated():
            made = self._master.client.generate_data_key(
                KeyId=self._master.key_id, KeySpec="AES_256", EncryptionContext=self._context
            )
        return DataKey(made["Plaintext"], made["CiphertextBlob"], self._context["tenant"])

    def seal(self, purpose: str, secret: str) -> bytes:
        """Encrypt a text under a new data key. One call to KMS."""
        return self.begin().seal(purpose, secret)

    def open(self, purpose: str, sealed: bytes) -> str:
        """Decrypt what was sealed for this tenant and purpose; `SealBroken`. One call to KMS."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        length = int.from_bytes(sealed[1:3])
        wrapped, rest = sealed[3 : 3 + length], sealed[3 + length :]
        if sealed[:1] != _VERSION or len(wrapped) != length or len(rest) <= _NONCE_BYTES:
            raise SealBroken("not of the form")
        try:
            key = AESGCM(self._unwrap(wrapped))
            bound = _bound(self._context["tenant"], purpose)
            return key.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], bound).decode()
        except InvalidTag as error:
            raise SealBroken("of another purpose, or damaged") from error

    def _unwrap(self, wrapped: bytes) -> bytes:
        try:
            with translated():
                found = self._master.client.decrypt(
                    KeyId=self._master.key_id, CiphertextBlob=wrapped, EncryptionContext=self._context
                )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _PASSING:
                raise Unavailable(internal=f"KMS answered {code}", retry_after_seconds=1) from error
            if code in {"InvalidCiphertextException", "IncorrectKeyException"}:
                raise SealBroken("KMS does not unwrap it for this tenant") from error
            raise
        return found["Plaintext"]


def _bound(tenant_id: str, purpose: str) -> bytes:
    return f"{tenant_id}\n{purpose}".encode()
