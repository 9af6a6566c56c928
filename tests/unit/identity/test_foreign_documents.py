"""JSON documents of other servers, in which an optional member may be missing or null."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from atrium.egress.exchange import OutboundResponse
from atrium.identity.providers.assertion import read_claimed, verify_token
from atrium.identity.providers.jwks import find_key, read_key_set
from atrium.identity.providers.mapping import map_claims
from atrium.identity.providers.model import IdentityProvider
from atrium.identity.social.descriptions import DESCRIPTIONS, PROVIDER_NAMES
from atrium.identity.social.exchange import EXPIRES_IN_MAX, _read_grant, read_answer
from atrium.identity.social.profile import _profile
from atrium.kernel.clock import epoch_seconds
from atrium.kernel.foreign_json import read_foreign_json
from atrium.kernel.ids import IdentityProviderId
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.issuers import AUDIENCE, public_jwk, rsa_key
from tests.builders.runtimes import NOON

ISSUER = "https://issuer.example"
PROVIDER = IdentityProvider(IdentityProviderId("idp_1"), "An issuer", ISSUER, AUDIENCE, NOON, NOON)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def sign(claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
    """Return a signed token that keeps members whose value is null. The JWT library would omit these members."""
    from atrium.kernel.crypto import encode_base64url
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    said = ".".join(encode_base64url(json.dumps(part).encode()) for part in (header, claims))
    return f"{said}.{encode_base64url(rsa_key('one').sign(said.encode(), PKCS1v15(), SHA256()))}"


def verify(claims: Mapping[str, Any], header: Mapping[str, Any], jwk: Mapping[str, Any]) -> object:
    text = sign(claims, header)
    claimed = read_claimed(text)
    keys = read_key_set(json.dumps({"keys": [jwk]}).encode())
    key = find_key(keys, claimed.kid, claimed.algorithm)
    assert key is not None
    assertion = verify_token(text, claimed, key, PROVIDER, now=epoch_seconds(NOON))
    return assertion.subject, map_claims(assertion.claims, PROVIDER)


CLAIMS: dict[str, Any] = {
    "iss": ISSUER, "aud": AUDIENCE, "sub": "subject-1", "email": "ann@acme.example",
    "iat": epoch_seconds(NOON), "exp": epoch_seconds(NOON + timedelta(hours=1)),
}  # fmt: skip


@pytest.mark.parametrize("name", ["nbf", "email_verified", "name", "azp", "jti", "groups", "address"])
def test_treats_a_null_claim_as_absent(name: str) -> None:
    header, jwk = {"alg": "RS256", "kid": "one"}, public_jwk(rsa_key("one"), "one")
    assert verify({**CLAIMS, name: None}, header, jwk) == verify(CLAIMS, header, jwk)


@pytest.mark.parametrize("name", ["typ", "cty", "jku", "x5t"])
def test_treats_a_null_header_as_absent(name: str) -> None:
    jwk = public_jwk(rsa_key("one"), "one")
    assert verify(CLAIMS, {"alg": "RS256", "kid": "one", name: None}, jwk)


@pytest.mark.parametrize("name", ["alg", "use", "key_ops", "x5c", "d"])
def test_treats_a_null_key_member_as_absent(name: str) -> None:
    assert verify(CLAIMS, {"alg": "RS256", "kid": "one"}, {**public_jwk(rsa_key("one"), "one"), name: None})


def test_finds_a_key_with_a_null_id() -> None:
    assert verify(CLAIMS, {"alg": "RS256"}, {**public_jwk(rsa_key("one"), "one"), "kid": None})


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
@pytest.mark.parametrize(
    "name", ["refresh_token", "id_token", "expires_in", "scope", "error", "ok", "authed_user", "token_type"]
)
def test_treats_a_null_token_response_member_as_absent(provider: Any, name: str) -> None:
    endpoints = DESCRIPTIONS[provider].connect
    body = {"access_token": "secret", name: None}
    found = read_answer(
        OutboundResponse(200, {"content-type": "application/json"}, json.dumps(body).encode(), "https://p.example")
    )
    assert _read_grant(found, endpoints) == _read_grant({"access_token": "secret"}, endpoints)


def test_bounds_the_lifetime_of_a_token() -> None:
    found = {"access_token": "secret", "expires_in": 10**30}
    assert _read_grant(found, DESCRIPTIONS["google"].connect).expires_in == EXPIRES_IN_MAX


def test_detects_a_form_with_media_type_parameters() -> None:
    headers = {"content-type": "Application/X-WWW-Form-Urlencoded; charset=utf-8"}
    assert (
        read_answer(OutboundResponse(200, headers, b"access_token=secret", "https://p.example"))["access_token"]
        == "secret"
    )


@pytest.mark.parametrize("name", ["email", "name", "login", "email_verified"])
def test_treats_a_null_user_info_member_as_absent(name: str) -> None:
    assert _profile(read_foreign_json(json.dumps({"sub": "1", name: None})), "sub") == _profile({"sub": "1"}, "sub")


@given(JSON)
def test_removes_null_members_at_any_depth(value: Any) -> None:
    assert read_foreign_json(json.dumps(value)) == _without_nulls(value)


def test_rejects_invalid_json() -> None:
    for text in ("", "{", "[" * 100_000):
        with pytest.raises(ValueError, match=r".+"):
            read_foreign_json(text)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
