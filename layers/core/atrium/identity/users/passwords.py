"""Password rules and argon2id hashes. Each hash contains its parameters, so that they can be increased later.

The parameters are 46 MiB, one pass and one lane: the first choice of OWASP. They are as strong as the 64 MiB of RFC
9106 and need less memory and time.
"""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LENGTH_MIN = 8
LENGTH_MAX = 128

_HASHER = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
# Matches no password. Its verification takes as long as the verification of a real hash.
DECOY_HASH = "$argon2id$v=19$m=47104,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def find_password_fault(password: str, *, email: str) -> str | None:
    """Return what is wrong with a password, or None. Only its length and equality with the email are checked."""
    text = _normal(password)
    if not LENGTH_MIN <= len(text) <= LENGTH_MAX:
        return f"must have {LENGTH_MIN} to {LENGTH_MAX} characters"
    if text.casefold() in {email.casefold(), email.partition("@")[0].casefold()}:
        return "must not be the email address"
    return None


def hash_password(password: str) -> str:
    """Return the hash to store. Takes about 50 ms and 46 MiB."""
    return _HASHER.hash(_normal(password))


def verify_password(password: str, password_hash: str) -> bool:
    """Return whether a password matches a hash. The time does not depend on the result."""
    try:
        return _HASHER.verify(password_hash, _normal(password))
    except (VerificationError, InvalidHashError):
        return False


def must_be_rehashed(password_hash: str) -> bool:
    """Return whether the parameters of a hash differ from the parameters of new hashes."""
    return _HASHER.check_needs_rehash(password_hash)


def _normal(password: str) -> str:
    """Return the NFC form, so that different keyboards give the same password (RFC 8265)."""
    return unicodedata.normalize("NFC", password)
