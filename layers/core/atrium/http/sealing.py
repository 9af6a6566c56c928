"""Saved answers that hold a secret, sealed so that only who made the call can read them again.

The key comes from the caller's credential and the idempotency key; neither is stored, so the table alone opens
nothing. AES-256-GCM, the call's digest as associated data. Another credential of the same principal opens nothing.
"""

import os

from atrium.kernel.errors import Conflict

_NONCE_BYTES = 12
_INFO = b"atrium saved answer 1"


def seal(body: bytes, *, credential: str, key: str, digest: str) -> bytes:
    """Return nonce and ciphertext."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(_derive(credential, key)).encrypt(nonce, body, digest.encode())


def unseal(sealed: bytes, *, credential: str, key: str, digest: str) -> bytes:
    """Return the body; `Conflict` if another credential made the call."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        return AESGCM(_derive(credential, key)).decrypt(nonce, ciphertext, digest.encode())
    except InvalidTag as error:
        raise Conflict("This call was executed with another credential, which alone can read its answer") from error


def _derive(credential: str, key: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length=32, salt=key.encode(), info=_INFO).derive(credential.encode())
