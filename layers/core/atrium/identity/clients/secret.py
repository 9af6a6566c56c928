"""Client secrets: `atr_cs_<base62>`, where the base62 part encodes 32 random bytes.

The table stores an HMAC of the client id and the secret. The HMAC key is a pepper. An HMAC that is copied to another
client matches no secret.
"""

import secrets
from datetime import datetime

from atrium.identity.clients.model import Client
from atrium.kernel.crypto import encode_base62, hmac_sha256, same
from atrium.kernel.ids import ClientId
from atrium.storage.secrets import Pepper, Secrets

HEAD = "atr_cs_"
_BYTES = 32
_LENGTH_MAX = 128


def mint_secret() -> str:
    return HEAD + encode_base62(secrets.token_bytes(_BYTES))


def digest_secret(pepper: Pepper, client_id: ClientId, secret: str) -> bytes:
    return hmac_sha256(pepper.value, f"atrium client secret 1\n{client_id}\n{secret}".encode())


def fits(client: Client, secret: str, secrets: Secrets, *, now: datetime) -> bool:
    """Return whether a secret is the client's current secret, or its previous secret within the grace period."""
    if not client.digest or not secret.startswith(HEAD) or len(secret) > _LENGTH_MAX or not secret.isascii():
        return False
    peppers = secrets.peppers("client_secret")
    if _fits(peppers.find(client.pepper_version), client.id, secret, client.digest):
        return True
    if client.old_ends_at is None or now >= client.old_ends_at or not client.old_digest:
        return False
    return _fits(peppers.find(client.old_pepper_version), client.id, secret, client.old_digest)


def _fits(pepper: Pepper | None, client_id: ClientId, secret: str, digest: bytes) -> bool:
    return pepper is not None and same(digest_secret(pepper, client_id, secret), digest)
