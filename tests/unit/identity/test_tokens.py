"""Access tokens against everything that can be done to them without the private key."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
import pytest
from atrium.identity.tokens import (
    ACCESS_SECONDS,
    AccessClaims,
    build_claims,
    load_private_key,
    publish_keys,
    read_access_token,
    sign_access_token,
)
from atrium.kernel.errors import TokenExpired, TokenInvalid, Unavailable
from atrium.kernel.ids import TenantId, UserId
from atrium.storage.secrets import SigningKey
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

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
    """Sign what our own code would not, with our own key."""
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


def test_a_token_is_read_as_it_was_signed() -> None:
    assert read(sign()) == claims()
    narrow = claims(scopes=frozenset({"chat", "sessions:read"}))
    assert read(sign_access_token(narrow, make_key("two"), issuer=ISSUER)) == narrow


def test_a_token_holds_fifteen_minutes() -> None:
    assert ACCESS_SECONDS == 900
    assert read(sign(), now=NOW + timedelta(seconds=899)) == claims()
    with pytest.raises(TokenExpired):
        read(sign(), now=NOW + timedelta(seconds=900))


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_the_types_of_rfc_9068(kind: str) -> None:
    assert read(forge(headers={"typ": kind})) == claims()


@pytest.mark.parametrize(
    "headers",
    [
        {"typ": "JWT"},
        {"typ": DROP},
        {"typ": 7},
        {"typ": "id+jwt"},
        {"kid": DROP},
        {"kid": "three"},
        {"kid": "../../dev/null"},
        {"kid": "x' UNION SELECT 'secret"},
        {"kid": ""},
        {"kid": "a" * 65},
        {"crit": ["b64"], "b64": True},
        {"crit": ["exp"]},
    ],
)
def test_headers_that_are_not_ours(headers: dict[str, Any]) -> None:
    if headers.get("kid") is not DROP and "kid" not in headers:
        headers = {"kid": "one", **headers}
    with pytest.raises(TokenInvalid):
        read(forge(headers=headers))


@pytest.mark.parametrize("kid", [["one"], {"kid": "one"}, 7, None])
def test_a_kid_that_is_no_text(kid: object) -> None:
    head, body, signature = sign().split(".")
    del head
    text = f"{part({'alg': 'ES256', 'typ': 'at+jwt', 'kid': kid})}.{body}.{signature}"
    with pytest.raises(TokenInvalid):
        read(text)


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
def test_a_key_that_the_token_brings_is_not_looked_at(name: str) -> None:
    stranger = make_key("stranger")
    bait: object = publish_keys([stranger])["keys"][0] if name == "jwk" else "https://evil.example/keys"
    if name == "x5c":
        bait = ["MIIB"]
    payload = json.dumps({"iss": ISSUER}).encode()
    headers = {"typ": "at+jwt", "kid": "one", name: bait}
    with pytest.raises(TokenInvalid):
        read(jwt.PyJWS().encode(payload, load_private_key(stranger), "ES256", headers))


@pytest.mark.parametrize(
    "payload",
    [
        {"iss": "https://evil.example"},
        {"iss": DROP},
        {"iss": [ISSUER]},
        {"aud": "https://other.example"},
        {"aud": DROP},
        {"aud": [ISSUER]},
        {"sub": DROP},
        {"sub": "usr_short"},
        {"sub": TENANT_ID},
        {"sub": 7},
        {"tenant_id": DROP},
        {"tenant_id": "ten_x#y"},
        {"jti": DROP},
        {"jti": ""},
        {"jti": "j" * 129},
        {"exp": DROP},
        {"exp": "4000000000"},
        {"exp": 4e9},
        {"exp": True},
        {"iat": DROP},
        {"nbf": DROP},
        {"iat": 1795262400 + 3600},
        {"nbf": 1795262400 + 60},
        {"exp": 1},
        {"ver": DROP},
        {"ver": "3"},
        {"tenant_ver": DROP},
        {"scope": ["chat"]},
    ],
)
def test_claims_that_are_not_ours(payload: dict[str, Any]) -> None:
    assert int(NOW.timestamp()) == 1795262400
    with pytest.raises(TokenInvalid):
        read(forge(payload))


def test_clocks_may_differ_by_five_seconds() -> None:
    assert read(sign(), now=NOW - timedelta(seconds=5)) == claims()
    with pytest.raises(TokenInvalid):
        read(sign(), now=NOW - timedelta(seconds=6))


def test_expiry_has_no_leeway_and_is_told_apart() -> None:
    assert issubclass(TokenExpired, Exception)
    assert not issubclass(TokenExpired, TokenInvalid)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_no_algorithm(algorithm: str) -> None:
    _, body, _ = sign().split(".")
    head = part({"alg": algorithm, "typ": "at+jwt", "kid": "one"})
    for signature in ("", part(b"x")):
        with pytest.raises(TokenInvalid):
            read(f"{head}.{body}.{signature}")


def _public_forms(key: SigningKey) -> list[bytes]:
    public = load_private_key(key).public_key()
    return [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        json.dumps(publish_keys([key])["keys"][0]).encode(),
    ]


@pytest.mark.parametrize("form", range(4))
def test_hs256_with_the_public_key(form: int) -> None:
    _, body, _ = sign().split(".")
    head = part({"alg": "HS256", "typ": "at+jwt", "kid": "one"})
    mac = hmac.digest(_public_forms(make_key("one"))[form], f"{head}.{body}".encode(), hashlib.sha256)
    with pytest.raises(TokenInvalid):
        read(f"{head}.{body}.{part(mac)}")


def test_another_keys_signature_under_our_kid() -> None:
    payload = jwt.PyJWS().decode(sign(), load_private_key(make_key("one")).public_key(), ["ES256"])
    headers = {"typ": "at+jwt", "kid": "one"}
    for other in (make_key("two"), make_key("stranger")):
        with pytest.raises(TokenInvalid):
            read(jwt.PyJWS().encode(payload, load_private_key(other), "ES256", headers))


def _tampered(text: str) -> str:
    head, body, signature = text.split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=="))
    payload["sub"] = "usr_01k6r5m2x8f3v9q4w7t1y0z5af"
    return f"{head}.{part(payload)}.{signature}"


@pytest.mark.parametrize(
    "change",
    [
        _tampered,
        lambda text: text.rsplit(".", 1)[0] + ".",
        lambda text: text.rsplit(".", 1)[0] + "." + part(bytes(64)),
        lambda text: text.rsplit(".", 1)[0] + "." + part(b"\x01" * 64),
        lambda text: text.rsplit(".", 1)[0],
        lambda text: text + ".x",
        lambda text: "." + text,
        lambda text: text.replace(".", "..", 1),
        lambda text: "",
        lambda text: "..",
        lambda text: "a.b.c",
        lambda text: f"{part(b'[]')}.{part(b'{}')}.{part(b'x')}",
        lambda text: f"{part(b'[' * 5000)}.{part(b'{}')}.{part(b'x')}",
        lambda text: "ü.ü.ü",
    ],
)
def test_a_token_that_was_changed(change: Callable[[str], str]) -> None:
    with pytest.raises(TokenInvalid):
        read(change(sign()))


@pytest.mark.parametrize("payload", [b"not json", b"[]", b"7", b"null", b"[" * 100_000, b"\xff\xfe"])
def test_a_signed_payload_that_is_no_object(payload: bytes) -> None:
    headers = {"typ": "at+jwt", "kid": "one"}
    with pytest.raises(TokenInvalid):
        read(jwt.PyJWS().encode(payload, load_private_key(make_key("one")), "ES256", headers))


def test_the_published_keys_verify_and_hold_nothing_private() -> None:
    published = publish_keys([make_key("one"), make_key("two")])
    assert [key["kid"] for key in published["keys"]] == ["one", "two"]
    for key in published["keys"]:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
        assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
    assert jwt.PyJWS().decode(sign(), jwt.PyJWK(published["keys"][0]).key, ["ES256"])


def _pem(private: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    "pem",
    ["", "not a key", _pem(ec.generate_private_key(ec.SECP384R1())), _pem(ed25519.Ed25519PrivateKey.generate())],
)
def test_a_secret_that_holds_another_key_is_our_failure(pem: str) -> None:
    with pytest.raises(Unavailable) as caught:
        load_private_key(SigningKey("one", pem))
    assert "P-256" in caught.value.internal
    assert not pem or pem not in caught.value.internal
