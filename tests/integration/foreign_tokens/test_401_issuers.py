"""Tokens are rejected if their issuer returns invalid responses. The next request to the issuer is delayed."""

from typing import Any

import pytest

from tests.builders.authorizing import bearer, expect_401
from tests.builders.issuers import DISCOVERY, KEYS, public_jwk, rsa_key, say
from tests.integration.foreign_tokens.conftest import Trusting
from tests.integration.foreign_tokens.test_401 import refuse

pytestmark = pytest.mark.loopback

KEY_SETS: list[Any] = [
    [],
    [{"kty": "oct", "kid": "one", "k": "c2VjcmV0"}],
    [public_jwk(rsa_key("short", 1024), "one")],
    [public_jwk(rsa_key("one"), "one", use="enc")],
    [public_jwk(rsa_key("one"), "one", key_ops=["encrypt"])],
    [public_jwk(rsa_key("one"), "one", d="AQAB")],
    [public_jwk(rsa_key("one"), "one", n="not base64!")],
    [{"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "one"}],
    ["one", 7, None],
    "keys",
]


def test_rejects_key_sets_without_a_usable_key(trusting: Trusting) -> None:
    trusting.trust()
    for published in KEY_SETS:
        trusting.issuer.scripts[KEYS] = say(200, {"keys": published})
        assert set(refuse(trusting, trusting.token())) == {"the issuer's keys cannot be fetched: no_keys"}
        trusting.deployment.clock.advance(300)
    assert trusting.issuer.asked.count(KEYS) == len(KEY_SETS)


ANSWERS: list[tuple[str, Any, str]] = [
    (DISCOVERY, say(302, b"", location="/elsewhere"), "redirected"),
    (KEYS, say(301, b"", location="http://169.254.169.254/latest"), "redirected"),
    (DISCOVERY, say(404), "status"),
    (KEYS, say(200, b"x" * 300_000), "too_large"),
    (DISCOVERY, say(200, b"[" * 100_000), "malformed"),
    (DISCOVERY, say(200, b"<html>"), "malformed"),
    (
        DISCOVERY,
        say(200, {"issuer": "https://other.example", "jwks_uri": "https://other.example/keys"}),
        "issuer_mismatch",
    ),
    (KEYS, say(200, b"{}", content_encoding="gzip"), "malformed"),
]


def test_rejects_tokens_of_an_issuer_with_invalid_responses(trusting: Trusting) -> None:
    provider = trusting.trust()
    for path, script, fault in ANSWERS:
        trusting.issuer.scripts = {path: script}
        assert refuse(trusting, trusting.token())[-1] == f"the issuer's keys cannot be fetched: {fault}"
        asked = len(trusting.issuer.asked)
        refuse(trusting, trusting.token())
        assert len(trusting.issuer.asked) == asked  # no new request within 30 seconds
        trusting.deployment.clock.advance(300)
    assert provider.enabled


def test_refuses_keys_at_a_private_address(trusting: Trusting) -> None:
    trusting.trust()
    for address in ("http://169.254.169.254/keys", "https://10.0.0.1/keys", "http://login.example/keys", 7):
        trusting.issuer.scripts[DISCOVERY] = say(200, {"issuer": trusting.issuer.url, "jwks_uri": address})
        reasons = refuse(trusting, trusting.token())
        assert "the issuer's keys cannot be fetched: refused" in reasons
        trusting.deployment.clock.advance(300)


def test_an_issuer_on_this_machine_is_not_asked_in_production(trusting: Trusting) -> None:
    trusting.trust()
    authorizer_env = type(trusting.authorizer_env)(trusting.deployment)
    expect_401(authorizer_env, bearer(trusting.token()))
    assert trusting.issuer.asked == []
