"""Password rules and argon2id hashes. Each hash contains its parameters, so that the parameters can be increased later.

The parameters are 46 MiB, one pass and one lane, which is the first recommendation of OWASP. They are as strong as the
recommendation of RFC 9106 with 64 MiB, and need less memory and time.
"""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LENGTH_MIN = 8
LENGTH_MAX = 128

_HASHER = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
# A hash that matches no password. Its verification takes as long as the verification of a real hash.
DECOY_HASH = "$argon2id$v=19$m=47104,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def find_password_fault(password: str, *, email: str) -> str | None:
    """Return the reason why a password is not allowed, or None.

    A password must have 8 to 128 characters, and must differ from the email and from the part before the `@`.
    """
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
    """Return the NFC form of a password, which does not depend on the user's keyboard (RFC 8265)."""
    return unicodedata.normalize("NFC", password)
