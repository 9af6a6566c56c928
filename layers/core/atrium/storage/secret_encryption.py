"""Envelope encryption of tenants' secrets with KMS.

Each write has a separate data key (AES-256-GCM). The platform's KMS key wraps the data key, with the tenant's id as
encryption context, so KMS does not unwrap the data key for another tenant. The wrapped key is stored with the
ciphertext. The format is:

    version (1 byte) | length of the wrapped key (2 bytes) | wrapped key | nonce (12 bytes) | ciphertext and tag
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import TenantId, is_id
from atrium.storage.table import translated

if TYPE_CHECKING:
    from types_boto3_kms import KMSClient

_VERSION = b"\x01"
_NONCE_BYTES = 12
_TRANSIENT = frozenset({"DependencyTimeoutException", "KeyUnavailableException", "KMSInternalException"})


class DecryptionFailed(Exception):
    """The ciphertext belongs to another tenant or purpose, or is damaged."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A KMS client and the id of the platform's KMS key."""

    client: KMSClient
    key_id: str


@dataclass(frozen=True, slots=True)
class DataKey:
    """The data key of one write: in plain text, and wrapped by KMS for one tenant."""

    plain: bytes = field(repr=False)
    wrapped: bytes = field(repr=False)
    tenant_id: str

    def encrypt(self, purpose: str, secret: str) -> bytes:
        """Encrypt a secret and return it together with the wrapped data key. Does not call KMS."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = AESGCM(self.plain).encrypt(nonce, secret.encode(), _context(self.tenant_id, purpose))
        return _VERSION + len(self.wrapped).to_bytes(2) + self.wrapped + nonce + ciphertext


class SecretEncryption:
    """Encrypts and decrypts one tenant's secrets. Decryption requires the `purpose` used for encryption."""

    def __init__(self, master: MasterKey, tenant_id: TenantId) -> None:
        if not is_id(tenant_id, "ten"):
            raise ValueError("not a tenant id")
        self._master = master
        self._context = {"tenant": tenant_id}

    def new_data_key(self) -> DataKey:
        """Generate a data key for one write. Calls KMS once."""
        if not self._master.key_id:
            raise Unavailable(internal="this function's environment has no KMS key for tenants' secrets")
        with translated():
            made = self._master.client.generate_data_key(
                KeyId=self._master.key_id, KeySpec="AES_256", EncryptionContext=self._context
            )
        return DataKey(made["Plaintext"], made["CiphertextBlob"], self._context["tenant"])

    def encrypt(self, purpose: str, secret: str) -> bytes:
        """Encrypt a secret with a new data key. Calls KMS once."""
        return self.new_data_key().encrypt(purpose, secret)

    def decrypt(self, purpose: str, encrypted: bytes) -> str:
        """Decrypt a secret. Calls KMS once.

        Raises `DecryptionFailed` if the secret was encrypted for another tenant or purpose, or if it is damaged.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        length = int.from_bytes(encrypted[1:3])
        wrapped, rest = encrypted[3 : 3 + length], encrypted[3 + length :]
        if encrypted[:1] != _VERSION or len(wrapped) != length or len(rest) <= _NONCE_BYTES:
            raise DecryptionFailed("the format is invalid")
        try:
            key = AESGCM(self._unwrap(wrapped))
            context = _context(self._context["tenant"], purpose)
            return key.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], context).decode()
        except InvalidTag as error:
            raise DecryptionFailed("encrypted for another purpose, or damaged") from error

    def _unwrap(self, wrapped: bytes) -> bytes:
        try:
            with translated():
                found = self._master.client.decrypt(
                    KeyId=self._master.key_id, CiphertextBlob=wrapped, EncryptionContext=self._context
                )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _TRANSIENT:
                raise Unavailable(internal=f"KMS answered {code}", retry_after_seconds=1) from error
            if code in {"InvalidCiphertextException", "IncorrectKeyException"}:
                raise DecryptionFailed("KMS does not unwrap the data key for this tenant") from error
            raise
        return found["Plaintext"]


def _context(tenant_id: str, purpose: str) -> bytes:
    return f"{tenant_id}\n{purpose}".encode()
