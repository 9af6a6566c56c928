"""CSRF protection of the consent form: a token in the form that must match a cookie of the same browser.

A token is valid for one authorization request and for ten minutes.
"""

import hashlib
import secrets as random
from collections.abc import Iterable

from atrium.bootstrap import Runtime
from atrium.identity.proven_text import read_proven, write_proven
from atrium.kernel.clock import epoch_seconds

COOKIE = "atrium_consent"
HOLDS_SECONDS = 600
_DIGEST_BYTES = 16
_TIME_BYTES = 5

type Pairs = Iterable[tuple[str, str]]


def mint_nonce() -> str:
    return random.token_urlsafe(16)


def prove_form(runtime: Runtime, nonce: str, pairs: Pairs) -> str:
    """Return the form's token for the browser whose cookie contains the nonce."""
    ends_at = epoch_seconds(runtime.clock()) + HOLDS_SECONDS
    payload = ends_at.to_bytes(_TIME_BYTES) + _digest(pairs)
    return write_proven("", _label(nonce), runtime.secrets.peppers("consent_form").current(), payload)


def is_proven(runtime: Runtime, nonce: str, token: str, pairs: Pairs) -> bool:
    """Return whether the token is valid for this nonce and these form parameters, and has not expired."""
    found = read_proven(
        token, "", _label(nonce), _TIME_BYTES + _DIGEST_BYTES, runtime.secrets.peppers("consent_form").find
    )
    if found is None or not nonce:
        return False
    ends_at, digest = int.from_bytes(found[0][:_TIME_BYTES]), found[0][_TIME_BYTES:]
    return epoch_seconds(runtime.clock()) < ends_at and digest == _digest(pairs)


def _label(nonce: str) -> str:
    return f"atrium consent form 1 {nonce}"


def _digest(pairs: Pairs) -> bytes:
    text = "\n".join(f"{name}={value!r}" for name, value in sorted(pairs))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_DIGEST_BYTES]
