"""Passwords: what is accepted, and their argon2id hashes with the parameters in each hash, so that they can be raised.

46 MiB, one pass, one lane: OWASP's first choice, as strong as RFC 9106's with 64 MiB, and half the memory and time.
"""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LENGTH_MIN = 8
LENGTH_MAX = 128

_HASHER = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
# Fits no password, and takes as long to find out as a real one.
DECOY_HASH = "$argon2id$v=19$m=47104,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def find_password_fault(password: str, *, email: str) -> str | None:
    """Return what is wrong with a password, or None. Length is what counts; no rule asks for kinds of characters."""
    text = _normal(password)
    if not LENGTH_MIN <= len(text) <= LENGTH_MAX:
        return f"must have {LENGTH_MIN} to {LENGTH_MAX} characters"
    if text.casefold() in {email.casefold(), email.partition("@")[0].casefold()}:
        return "must not be the email address"
    return None


def hash_password(password: str) -> str:
    """Return the hash to keep; about 50 ms and 46 MiB."""
    return _HASHER.hash(_normal(password))


def verify_password(password: str, password_hash: str) -> bool:
    """Tell whether a password fits a hash; the time does not depend on the answer."""
    try:
        return _HASHER.verify(password_hash, _normal(password))
    except (VerificationError, InvalidHashError):
        return False


def must_be_rehashed(password_hash: str) -> bool:
    """Tell whether a hash was made with other parameters than new ones are."""
    return _HASHER.check_needs_rehash(password_hash)


def _normal(password: str) -> str:
    """Spell what looks alike alike, so that another keyboard's accents fit (RFC 8265)."""
    return unicodedata.normalize("NFC", password)
