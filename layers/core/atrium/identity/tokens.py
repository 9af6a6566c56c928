"""Access tokens: JWTs signed with ES256 (RFC 9068).

Claims are used only after the signature was verified with the platform's key that `kid` names. URLs in the header of a
token are ignored. A token does not prove the current status, role and token version of the user and the tenant, so
`verification.py` checks the stored values.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm

from atrium.kernel.clock import epoch_seconds
from atrium.kernel.errors import TokenExpired, TokenInvalid, Unavailable
from atrium.kernel.ids import ClientId, FamilyId, TenantId, UserId, is_id
from atrium.settings import Settings
from atrium.storage.secrets import SigningKey

ALGORITHM = "ES256"
ACCESS_SECONDS = 900
SKEW_SECONDS = 5
_TYPES = frozenset({"at+jwt", "application/at+jwt"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost"})
_JWS = jwt.PyJWS(algorithms=[ALGORITHM])

type FindKey = Callable[[str], SigningKey | None]


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """The claims of an access token. If `scopes` is None, the token has all scopes of the user's role.

    The token versions are compared with the stored versions of the user and the tenant, so that incrementing a version
    ends all earlier tokens. `family_id` is the id of the login; the token is valid only while the login is valid.
    `client_id` is the client to which the token was issued. For a login without a client, `client_id` is empty. If a
    client acts for itself, `client_id` equals `subject`.
    """

    subject: UserId | ClientId
    tenant_id: TenantId
    token_version: int
    tenant_token_version: int
    token_id: str
    issued_at: int
    expires_at: int
    scopes: frozenset[str] | None = None
    family_id: FamilyId | None = None
    client_id: str = ""

    @property
    def is_client(self) -> bool:
        return self.subject == self.client_id


def name_issuer(settings: Settings, *, domain: str = "", base_path: str = "") -> str:
    """Return the value of the claims `iss` and `aud`.

    The value is the configured public URL. Without a public URL it is the URL of the called API stage, and without a
    `domain` it is a URN.
    """
    if settings.public_url or not domain:
        return settings.public_url or f"urn:atrium:{settings.environment}"
    scheme = "http" if domain.partition(":")[0] in _LOOPBACK else "https"
    return f"{scheme}://{domain}{base_path}"


def build_claims(
    subject: UserId | ClientId,
    tenant_id: TenantId,
    *,
    token_version: int,
    tenant_token_version: int,
    token_id: str,
    now: datetime,
    scopes: frozenset[str] | None = None,
    family_id: FamilyId | None = None,
    client_id: str = "",
) -> AccessClaims:
    """Return the claims of a new access token, which is valid for 15 minutes."""
    return AccessClaims(
        subject=subject,
        tenant_id=tenant_id,
        token_version=token_version,
        tenant_token_version=tenant_token_version,
        token_id=token_id,
        issued_at=epoch_seconds(now),
        expires_at=epoch_seconds(now + timedelta(seconds=ACCESS_SECONDS)),
        scopes=scopes,
        family_id=family_id,
        client_id=client_id,
    )


def sign_access_token(claims: AccessClaims, key: SigningKey, *, issuer: str) -> str:
    """Return the signed access token (a JWT) for the claims."""
    payload: dict[str, Any] = {
        "iss": issuer,
        "aud": issuer,
        "sub": claims.subject,
        "tenant_id": claims.tenant_id,
        "ver": claims.token_version,
        "tenant_ver": claims.tenant_token_version,
        "jti": claims.token_id,
        "iat": claims.issued_at,
        "nbf": claims.issued_at,
        "exp": claims.expires_at,
    }
    if claims.scopes is not None:
        payload["scope"] = " ".join(sorted(claims.scopes))
    if claims.family_id is not None:
        payload["fam"] = claims.family_id
    if claims.client_id:
        payload["client_id"] = claims.client_id
    return sign_payload(json.dumps(payload).encode(), key, kind="at+jwt")


def sign_payload(payload: bytes, key: SigningKey, *, kind: str) -> str:
    """Return a JWS with the header `typ`, which prevents one kind of token from being accepted as another kind."""
    return _JWS.encode(payload, load_private_key(key), ALGORITHM, {"kid": key.kid, "typ": kind})


def read_access_token(text: str, *, issuer: str, find_key: FindKey, now: datetime) -> AccessClaims:
    """Verify a token and return its claims.

    Raises `TokenExpired` if the token is valid except for its expiry, and otherwise `TokenInvalid`.
    """
    if text.count(".") != 2:
        raise TokenInvalid(internal="not three parts")
    try:
        header = jwt.get_unverified_header(text)
        key = _choose_key(header, find_key, epoch_seconds(now))
        payload = json.loads(_JWS.decode(text, load_private_key(key).public_key(), [ALGORITHM]))
    except jwt.InvalidTokenError as error:
        raise TokenInvalid(internal=f"token: {type(error).__name__}") from error
    except (ValueError, RecursionError) as error:
        raise TokenInvalid(internal="token: not JSON") from error
    if not isinstance(payload, dict):
        raise TokenInvalid(internal="token: not an object")
    return _check_claims(payload, issuer, epoch_seconds(now))


def publish_keys(keys: Sequence[SigningKey]) -> dict[str, list[dict[str, str]]]:
    """Return the JWK Set (RFC 7517) of the public keys."""
    published = []
    for key in keys:
        public = ECAlgorithm.to_jwk(load_private_key(key).public_key(), as_dict=True)
        fields = {name: str(public[name]) for name in ("kty", "crv", "x", "y")}
        published.append({**fields, "kid": key.kid, "alg": ALGORITHM, "use": "sig"})
    return {"keys": published}


def load_private_key(key: SigningKey) -> ec.EllipticCurvePrivateKey:
    """Parse the PEM of a signing key and return the private key; raise `Unavailable` if it is not a P-256 key."""
    try:
        return _parse_pem(key.private_pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unavailable(internal=f"the signing key {key.kid} is not a P-256 key in PEM") from None


@lru_cache(maxsize=16)
def _parse_pem(pem: str) -> ec.EllipticCurvePrivateKey:
    found = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(found, ec.EllipticCurvePrivateKey) or not isinstance(found.curve, ec.SECP256R1):
        raise TypeError("not P-256")
    return found


def _choose_key(header: Mapping[str, Any], find_key: FindKey, now: int) -> SigningKey:
    """Return the signing key that the header of a token names.

    Raises `TokenInvalid` for an unknown key, and for any type or algorithm that the platform does not issue.
    """
    kind, algorithm, kid = header.get("typ"), header.get("alg"), header.get("kid")
    if not isinstance(kind, str) or kind.lower() not in _TYPES or algorithm != ALGORITHM or "crit" in header:
        raise TokenInvalid(internal="token: type or algorithm")
    key = find_key(kid) if isinstance(kid, str) and 0 < len(kid) <= 64 else None
    if key is None or key.is_over(now):
        raise TokenInvalid(internal="token: unknown kid")
    return key


def _check_claims(payload: Mapping[str, Any], issuer: str, now: int) -> AccessClaims:
    subject, tenant_id, token_id = payload.get("sub"), payload.get("tenant_id"), payload.get("jti")
    numbers = [payload.get(name) for name in ("iat", "nbf", "exp", "ver", "tenant_ver")]
    if payload.get("iss") != issuer or payload.get("aud") != issuer:
        raise TokenInvalid(internal="token: issuer or audience")
    client_id = payload.get("client_id", "")
    if not isinstance(client_id, str) or (client_id and not is_id(client_id, "cli")):
        raise TokenInvalid(internal="token: client")
    if not isinstance(subject, str) or not (is_id(subject, "usr") or (client_id and subject == client_id)):
        raise TokenInvalid(internal="token: subject")
    if not isinstance(tenant_id, str) or not is_id(tenant_id, "ten"):
        raise TokenInvalid(internal="token: tenant")
    if not isinstance(token_id, str) or not 0 < len(token_id) <= 128:
        raise TokenInvalid(internal="token: jti")
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise TokenInvalid(internal="token: times or versions")
    issued_at, not_before, expires_at, version, tenant_version = (int(number or 0) for number in numbers)
    if issued_at > now + SKEW_SECONDS or not_before > now + SKEW_SECONDS or expires_at <= issued_at:
        raise TokenInvalid(internal="token: not yet valid")
    if now >= expires_at:
        raise TokenExpired(internal="token: expired")
    return AccessClaims(
        subject=UserId(subject),
        tenant_id=TenantId(tenant_id),
        token_version=version,
        tenant_token_version=tenant_version,
        token_id=token_id,
        issued_at=issued_at,
        expires_at=expires_at,
        scopes=_read_scopes(payload),
        family_id=_read_family(payload),
        client_id=client_id,
    )


def _read_scopes(payload: Mapping[str, Any]) -> frozenset[str] | None:
    scope = payload.get("scope")
    if scope is None:
        return None
    if not isinstance(scope, str):
        raise TokenInvalid(internal="token: scope")
    return frozenset(scope.split())


def _read_family(payload: Mapping[str, Any]) -> FamilyId | None:
    family = payload.get("fam")
    if family is None:
        return None
    if not isinstance(family, str) or not is_id(family, "fam"):
        raise TokenInvalid(internal="token: family")
    return FamilyId(family)
