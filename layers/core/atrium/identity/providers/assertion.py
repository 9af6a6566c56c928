"""Reads tokens of external issuers. Unverified claims are used only to find the provider and the key.

A token is rejected if its algorithm is `none` or symmetric, if its type is not a JWT type, or if it has a critical
header. URLs and keys in a header (`jku`, `x5u`, `jwk`) are ignored. The issuer's clock may differ by one minute. The
lifetime of a token is at most one day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from atrium.identity.providers.jwks import KID_MAX, VerificationKey
from atrium.identity.providers.model import ALGORITHMS, AUDIENCE_MAX, ISSUER_MAX, IdentityProvider
from atrium.kernel.errors import TokenExpired, TokenInvalid
from atrium.kernel.foreign_json import read_foreign_json

SKEW_SECONDS = 60
LIFETIME_SECONDS_MAX = 86_400
AUDIENCES_MAX = 5
SUBJECT_MAX = 255
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_JWS = jwt.PyJWS(algorithms=list(ALGORITHMS))


@dataclass(frozen=True, slots=True)
class Claimed:
    """The unverified claims of a token, used only to find its provider and key."""

    issuer: str
    audiences: tuple[str, ...]
    subject: str
    algorithm: str
    kid: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """The content of a verified token. `claims` is the complete payload. `expires_at` is in epoch seconds."""

    issuer: str
    subject: str
    expires_at: int
    claims: Mapping[str, Any]


def read_claimed(text: str) -> Claimed:
    """Return the unverified claims of a token; raise `TokenInvalid` if the token cannot be valid."""
    if text.count(".") != 2:
        raise TokenInvalid(internal="not three parts")
    try:
        header = jwt.get_unverified_header(text)
        payload = read_foreign_json(_JWS.decode(text, options={"verify_signature": False}))
    except jwt.InvalidTokenError as error:
        raise TokenInvalid(internal=f"token: {type(error).__name__}") from error
    except ValueError as error:
        raise TokenInvalid(internal="token: not JSON") from error
    if not isinstance(payload, dict):
        raise TokenInvalid(internal="token: not an object")
    algorithm, kid = _check_header(header)
    return Claimed(
        issuer=_text(payload, "iss", ISSUER_MAX),
        audiences=_audiences(payload),
        subject=_text(payload, "sub", SUBJECT_MAX),
        algorithm=algorithm,
        kid=kid,
    )


def verify_token(
    text: str, claimed: Claimed, key: VerificationKey, provider: IdentityProvider, *, now: int
) -> Assertion:
    """Verify a token with the issuer's key and return its content. `now` is in epoch seconds.

    Raises `TokenExpired` if the token is valid except for its expiry, and otherwise `TokenInvalid`.
    """
    if claimed.algorithm not in provider.algorithms:
        raise TokenInvalid(internal="token: algorithm not allowed for the provider")
    try:
        payload = read_foreign_json(_JWS.decode(text, key, [claimed.algorithm]))
    except jwt.InvalidTokenError as error:
        raise TokenInvalid(internal=f"token: {type(error).__name__}") from error
    if payload.get("iss") != provider.issuer or provider.audience not in _audiences(payload):
        raise TokenInvalid(internal="token: issuer or audience")
    expires_at = _check_times(payload, now)
    return Assertion(provider.issuer, _text(payload, "sub", SUBJECT_MAX), expires_at, payload)


def _check_header(header: Mapping[str, Any]) -> tuple[str, str]:
    kind, algorithm, kid = header.get("typ"), header.get("alg"), header.get("kid", "")
    known = kind is None or (isinstance(kind, str) and kind.lower() in _TYPES)
    if not known or "crit" in header:
        raise TokenInvalid(internal="token: type")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenInvalid(internal="token: algorithm")
    if not isinstance(kid, str) or len(kid) > KID_MAX:
        raise TokenInvalid(internal="token: kid")
    return algorithm, kid


def _text(payload: Mapping[str, Any], name: str, most: int) -> str:
    found = payload.get(name)
    if not isinstance(found, str) or not 0 < len(found) <= most or "\n" in found:
        raise TokenInvalid(internal=f"token: {name}")
    return found


def _audiences(payload: Mapping[str, Any]) -> tuple[str, ...]:
    found = payload.get("aud")
    several = [found] if isinstance(found, str) else found
    if not isinstance(several, list) or not 0 < len(several) <= AUDIENCES_MAX:
        raise TokenInvalid(internal="token: audience")
    if not all(isinstance(each, str) and 0 < len(each) <= AUDIENCE_MAX for each in several):
        raise TokenInvalid(internal="token: audience")
    return tuple(dict.fromkeys(several))


def _check_times(payload: Mapping[str, Any], now: int) -> int:
    """Return the expiry of a token in epoch seconds; raise `TokenInvalid` or `TokenExpired`.

    `iat` and `exp` are required; `nbf` is optional.
    """
    times = [payload.get(name) for name in ("iat", "exp")] + [payload.get("nbf", payload.get("iat"))]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in times):
        raise TokenInvalid(internal="token: times")
    try:
        issued_at, expires_at, not_before = (int(each or 0) for each in times)
    except (OverflowError, ValueError) as error:
        raise TokenInvalid(internal="token: times") from error
    if issued_at > now + SKEW_SECONDS or not_before > now + SKEW_SECONDS:
        raise TokenInvalid(internal="token: not yet valid")
    if expires_at <= issued_at or expires_at - issued_at > LIFETIME_SECONDS_MAX:
        raise TokenInvalid(internal="token: lifetime")
    if now >= expires_at + SKEW_SECONDS:
        raise TokenExpired(internal="token: expired")
    return expires_at
