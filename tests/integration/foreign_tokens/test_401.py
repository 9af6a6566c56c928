"""Invalid tokens are rejected and recorded in the audit of the tenant that they name."""

import hmac
from typing import Any

import pytest
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Delete
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from functions.authorizer import verdict
from tests.builders.authorizing import bearer, expect_401
from tests.builders.deployments import counting
from tests.builders.forging import part
from tests.builders.issuers import AUDIENCE, DISCOVERY, KEYS, ec_key, public_jwk, rsa_key, sign
from tests.integration.foreign_tokens.conftest import Trusting

pytestmark = pytest.mark.loopback

WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"}


def refuse(trusting: Trusting, token: str) -> list[str]:
    """Assert that the token is rejected. Return the reasons of all rejections in the tenant's audit."""
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        trusting.authorizer_env.ask({**bearer(token), **trusting.headers})
    return [str(told["reason"]) for kind, told in trusting.told() if kind == "auth.refuse"]


CLAIMS: list[tuple[dict[str, Any], str | None]] = [
    ({"exp": 1_763_726_400 - 86_400}, "token"),
    ({"iss": "https://login.example"}, None),
    ({"aud": "https://atrium.example/globex"}, None),
    ({"aud": []}, None),
    ({"aud": None}, None),
    ({"aud": [AUDIENCE] + [str(at) for at in range(5)]}, None),
    ({"aud": {"a": AUDIENCE}}, None),
    ({"sub": None}, None),
    ({"sub": ""}, None),
    ({"sub": 7}, None),
    ({"sub": "s" * 256}, None),
    ({"iat": None}, "token: times"),
    ({"exp": None}, "token: times"),
    ({"exp": "soon"}, "token: times"),
    ({"exp": True}, "token: times"),
    ({"exp": float("inf")}, "token: times"),
    ({"nbf": "now"}, "token: times"),
]


def test_rejects_invalid_claims(trusting: Trusting) -> None:
    trusting.trust()
    for changes, reason in CLAIMS:
        before = trusting.told()
        refuse(trusting, trusting.token(**changes))
        told = trusting.told()[len(before) :]
        assert [str(each["reason"]).startswith(reason or "?") for _, each in told] == ([True] if reason else []), (
            changes
        )
        trusting.deployment.clock.advance(60)


@pytest.mark.parametrize(
    ("iat", "nbf", "exp", "reason"),
    [
        (-700, None, -60, "token: expired"),
        (61, None, 600, "token: not yet valid"),
        (0, 61, 600, "token: not yet valid"),
        (0, None, 0, "token: lifetime"),
        (-10, None, 86_391, "token: lifetime"),
    ],
)
def test_rejects_invalid_times(trusting: Trusting, iat: int, nbf: int | None, exp: int, reason: str) -> None:
    trusting.trust()
    now = int(trusting.deployment.clock().timestamp())
    times = {"iat": now + iat, "exp": now + exp, "nbf": None if nbf is None else now + nbf}
    assert refuse(trusting, trusting.token(**times)) == [reason]


@pytest.mark.parametrize(("iat", "nbf", "exp"), [(-700, None, -59), (60, 60, 600)])
def test_clocks_may_differ_by_a_minute(trusting: Trusting, iat: int, nbf: int | None, exp: int) -> None:
    trusting.trust()
    now = int(trusting.deployment.clock().timestamp())
    trusting.context(iat=now + iat, exp=now + exp, nbf=None if nbf is None else now + nbf)


def test_rejects_headers_without_a_key_lookup(trusting: Trusting) -> None:
    trusting.trust()
    body = part(trusting.issuer.claims(trusting.deployment.clock()))
    for header in ({"typ": "dpop+jwt"}, {"typ": 7}, {"crit": ["exp"], "exp": 1}, {"kid": 7}, {"kid": "k" * 257}):
        expect_401(
            trusting.authorizer_env,
            bearer(f"{part({'alg': 'RS256', 'kid': 'one', **header})}.{body}.{part(bytes(256))}"),
        )
    assert trusting.issuer.asked == []


def test_rejects_unsafe_algorithms(trusting: Trusting) -> None:
    trusting.trust()
    trusting.context()
    body = part(trusting.issuer.claims(trusting.deployment.clock()))
    pem = rsa_key("one").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for algorithm in ("none", "None", "HS256", "HS512", "RS1", ""):
        head = part({"alg": algorithm, "kid": "one"})
        signature = part(hmac.digest(pem, f"{head}.{body}".encode(), "sha256"))
        for text in (f"{head}.{body}.{signature}", f"{head}.{body}."):
            expect_401(trusting.authorizer_env, bearer(text))


def test_reads_no_url_of_a_header(trusting: Trusting) -> None:
    trusting.trust()
    address = f"{trusting.issuer.url}/evil"
    for members in (
        {"jku": address},
        {"x5u": address},
        {"x5c": [address]},
        {"jwk": public_jwk(rsa_key("evil"), "evil")},
    ):
        token = trusting.token(kid="evil", headers=members)
        assert refuse(trusting, token) == ["the issuer has no key with this kid"]
    assert trusting.issuer.asked == [DISCOVERY, KEYS]


def test_rejects_unknown_keys(trusting: Trusting) -> None:
    trusting.trust()
    for kid in ("../one", "' OR 1=1 --", "one\0", "two"):
        assert refuse(trusting, trusting.token(headers={"kid": kid})) == ["the issuer has no key with this kid"]


def test_limits_requests_to_the_issuer_for_unknown_keys(trusting: Trusting) -> None:
    trusting.trust()
    trusting.context()
    for at in range(20):
        refuse(trusting, trusting.token(headers={"kid": f"made-up-{at}"}))
        trusting.deployment.clock.advance(1)
    assert trusting.issuer.asked.count(KEYS) == 1
    trusting.deployment.clock.advance(30)
    refuse(trusting, trusting.token(headers={"kid": "made-up"}))
    refuse(trusting, trusting.token(headers={"kid": "made-up-too"}))
    assert trusting.issuer.asked.count(KEYS) == 2


def test_rejects_a_signature_by_another_key(trusting: Trusting) -> None:
    trusting.trust()
    claims = trusting.issuer.claims(trusting.deployment.clock())
    head, body, signature = trusting.token().split(".")
    other = part({**claims, "sub": "somebody else"})
    for text in (
        sign(claims, rsa_key("mine"), {"kid": "one"}),
        f"{head}.{other}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}.{part(bytes(256))}",
        sign(claims, rsa_key("one"), {"kid": "one"}, "RS512"),
        sign(claims, ec_key("one"), {"kid": "one"}, "ES256"),
    ):
        refuse(trusting, text)


def test_rejects_an_algorithm_that_the_tenant_does_not_allow(trusting: Trusting) -> None:
    trusting.trust(algorithms=("ES256",))
    assert refuse(trusting, trusting.token()) == ["the token's algorithm is not allowed for the provider"]
    assert trusting.issuer.asked == []


def test_an_untrusted_issuer_costs_one_read(trusting: Trusting) -> None:
    expect_401(trusting.authorizer_env, bearer(trusting.token()), calls=["BatchGetItem"])
    with counting(trusting.deployment.table) as calls:
        refuse_only(trusting)
    assert calls == []
    assert trusting.issuer.asked == []


def refuse_only(trusting: Trusting) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        trusting.authorizer_env.ask(bearer(trusting.token()))


def test_rejects_a_disabled_or_deleted_provider(trusting: Trusting) -> None:
    provider = trusting.trust()
    trusting.context()
    trusting.service().change(provider.id, {"enabled": False})
    trusting.deployment.clock.advance(verdict.KEPT_SECONDS)
    refuse_only(trusting)
    trusting.service().change(provider.id, {"enabled": True})
    trusting.context()
    trusting.service().delete(provider.id)
    trusting.deployment.clock.advance(verdict.KEPT_SECONDS)
    refuse_only(trusting)


def test_rejects_a_deleted_tenant(trusting: Trusting) -> None:
    trusting.trust()
    trusting.deployment.runtime.tenant_table(trusting.made.tenant.id).write(Delete(keys.tenant(), EXISTS))
    refuse_only(trusting)


def test_records_a_repeated_token_once_a_minute(trusting: Trusting) -> None:
    trusting.trust()
    trusting.context()
    with counting(trusting.deployment.table) as calls:
        for at in range(10):
            refuse_only_with(trusting, f"made-up-{at}")
    assert len([call for call in calls if call in WRITES]) == 1


def refuse_only_with(trusting: Trusting, kid: str) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        trusting.authorizer_env.ask(bearer(trusting.token(headers={"kid": kid})))
