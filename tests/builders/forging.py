"""Access tokens for tests: valid tokens, and signed tokens with invalid claims or headers."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jwt
from atrium.identity.tokens import (
    AccessClaims,
    build_claims,
    load_private_key,
    read_access_token,
    sign_access_token,
)
from atrium.kernel.ids import TenantId, UserId
from atrium.storage.secrets import SigningKey
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ISSUER = "https://api.example"
USER_ID = UserId("usr_01k6r5m2x8f3v9q4w7t1y0z5ae")
TENANT_ID = TenantId("ten_01k6r5m2x8f3v9q4w7t1y0z5ab")
DROP = object()


@cache
def make_key(kid: str) -> SigningKey:
    private = ec.generate_private_key(ec.SECP256R1())
    return SigningKey(kid, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def claims(**changes: Any) -> AccessClaims:
    built = build_claims(USER_ID, TENANT_ID, token_version=3, tenant_token_version=2, token_id="t1", now=NOW)
    return replace(built, **changes)


def read(text: str, *, now: datetime = NOW) -> AccessClaims:
    known = {"one": make_key("one"), "two": make_key("two")}
    return read_access_token(text, issuer=ISSUER, find_key=known.get, now=now)


def forge(payload: dict[str, Any] | None = None, headers: dict[str, Any] | None = None, *, kid: str = "one") -> str:
    """Return a token with changed claims and headers, signed with our key. The value `DROP` removes an entry."""
    good = json.loads(jwt.PyJWS().decode(sign(), load_private_key(make_key("one")).public_key(), ["ES256"]))
    body = {name: value for name, value in (good | (payload or {})).items() if value is not DROP}
    wanted = {"typ": "at+jwt", "kid": kid, **(headers or {})}
    head = {name: value for name, value in wanted.items() if value is not DROP}
    return jwt.PyJWS().encode(json.dumps(body).encode(), load_private_key(make_key(kid)), "ES256", head)


def sign(**changes: Any) -> str:
    return sign_access_token(claims(**changes), make_key("one"), issuer=ISSUER)


def part(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
