"""Signing and verifying access tokens."""

from datetime import timedelta
from typing import Any

import jwt
import pytest
from atrium.identity.tokens import (
    ACCESS_SECONDS,
    load_private_key,
    publish_keys,
    sign_access_token,
)
from atrium.kernel.errors import TokenExpired, TokenInvalid, Unavailable
from atrium.storage.secrets import SigningKey
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.builders.forging import (
    DROP,
    ISSUER,
    NOW,
    TENANT_ID,
    claims,
    forge,
    make_key,
    part,
    read,
    sign,
)


def test_reads_back_a_signed_token() -> None:
    assert read(sign()) == claims()
    narrow = claims(scopes=frozenset({"chat", "sessions:read"}))
    assert read(sign_access_token(narrow, make_key("two"), issuer=ISSUER)) == narrow


def test_a_token_is_valid_for_fifteen_minutes() -> None:
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
def test_rejects_other_headers(headers: dict[str, Any]) -> None:
    if headers.get("kid") is not DROP and "kid" not in headers:
        headers = {"kid": "one", **headers}
    with pytest.raises(TokenInvalid):
        read(forge(headers=headers))


@pytest.mark.parametrize("kid", [["one"], {"kid": "one"}, 7, None])
def test_rejects_a_kid_that_is_not_a_text(kid: object) -> None:
    head, body, signature = sign().split(".")
    del head
    text = f"{part({'alg': 'ES256', 'typ': 'at+jwt', 'kid': kid})}.{body}.{signature}"
    with pytest.raises(TokenInvalid):
        read(text)


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
def test_rejects_invalid_claims(payload: dict[str, Any]) -> None:
    assert int(NOW.timestamp()) == 1795262400
    with pytest.raises(TokenInvalid):
        read(forge(payload))


def test_accepts_clocks_that_differ_by_five_seconds() -> None:
    assert read(sign(), now=NOW - timedelta(seconds=5)) == claims()
    with pytest.raises(TokenInvalid):
        read(sign(), now=NOW - timedelta(seconds=6))


def test_expiry_has_no_leeway_and_its_own_reason() -> None:
    assert issubclass(TokenExpired, Exception)
    assert not issubclass(TokenExpired, TokenInvalid)


def test_published_keys_verify_without_private_parts() -> None:
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
def test_an_unusable_signing_key_is_an_internal_error(pem: str) -> None:
    with pytest.raises(Unavailable) as caught:
        load_private_key(SigningKey("one", pem))
    assert "P-256" in caught.value.internal
    assert not pem or pem not in caught.value.internal
