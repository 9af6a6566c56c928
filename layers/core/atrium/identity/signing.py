"""Chooses the signing key and the verifying keys, and rotates keys without an outage (ADR 0087).

    rotate ── 15 min ──> the new key signs ── 20 min ──> the old key is removed

The new key is published immediately. All containers read it within 5 minutes, and other verifiers within 10 minutes.
Each container compares the times of the keys with its clock, so no scheduled job is needed.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from atrium.identity.tokens import ACCESS_SECONDS
from atrium.kernel.clock import epoch_seconds
from atrium.kernel.errors import Conflict, Unavailable
from atrium.storage.secrets import SigningKey

PUBLISHED_SECONDS = 900
_LEFT_OVER_SECONDS = 300


def choose_signer(keys: Sequence[SigningKey], now: datetime) -> SigningKey:
    """Return the key that signs now: the key with the latest start time that has passed.

    If no key has a start time, return the first key. Raises `Unavailable` if no key can sign yet.
    """
    ready = [key for key in keys if key.signs_from <= epoch_seconds(now)]
    if not ready:
        raise Unavailable(internal="the signing secret has no key whose start time has passed")
    return max(ready, key=lambda key: key.signs_from)


def list_verifying(keys: Sequence[SigningKey], now: datetime) -> tuple[SigningKey, ...]:
    """Return the keys that are published and verify tokens: all keys whose end time has not passed."""
    return tuple(key for key in keys if not key.is_over(epoch_seconds(now)))


def make_signing_key() -> SigningKey:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return SigningKey(secrets.token_hex(8), pem)


def follow(keys: Sequence[SigningKey], new: SigningKey, now: datetime) -> tuple[SigningKey, ...]:
    """Return the keys after a rotation: the new key, and the earlier keys that still verify tokens.

    The new key starts to sign after 15 minutes, when every verifier has read it. Earlier keys get an end time, at which
    the last token that they signed has expired. Raises `Conflict` if the new key of the previous rotation does not sign
    yet.
    """
    moment = epoch_seconds(now)
    if any(key.signs_from > moment for key in keys):
        raise Conflict("the previous rotation is not complete; try again after its key has started to sign")
    starts_at = moment + PUBLISHED_SECONDS
    ends_at = starts_at + ACCESS_SECONDS + _LEFT_OVER_SECONDS
    old = [key if key.ends_at is not None else replace(key, ends_at=ends_at) for key in list_verifying(keys, now)]
    return (*old, replace(new, created_at=moment, signs_from=starts_at))
