"""Invalid and expired access tokens are rejected like any other invalid credential."""

import base64
import hmac
import json
from datetime import timedelta

import pytest
from atrium.identity.onboarding import Onboarded
from atrium.identity.tokens import load_private_key
from atrium.kernel.ids import mint_user_id
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Delete, Update
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from functions.authorizer import verdict
from tests.builders.authorizing import READ_AND_TOLD, AuthorizerEnv, bearer, expect_401
from tests.builders.deployments import Deployment


def part(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_records_forged_tokens_in_the_named_tenants_audit(
    deployment: Deployment, authorizer_env: AuthorizerEnv
) -> None:
    made = deployment.onboard()
    assert made.admin
    token = deployment.make_token(made.admin)
    head, body, signature = token.split(".")
    kid = json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]
    key = load_private_key(deployment.runtime.secrets.signing_keys()[0]).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    confused = part({"alg": "HS256", "typ": "at+jwt", "kid": kid})
    other = {**json.loads(base64.urlsafe_b64decode(body + "==")), "sub": mint_user_id(deployment.clock())}
    for text in (
        "nonsense",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{part(other)}.{signature}",
        f"{head}.{body}.{part(bytes(64))}",
        f"{part({'alg': 'none', 'typ': 'at+jwt', 'kid': kid})}.{body}.",
        f"{confused}.{body}.{part(hmac.digest(pem, f'{confused}.{body}'.encode(), 'sha256'))}",
        f"{part({'alg': 'ES256', 'typ': 'JWT', 'kid': kid})}.{body}.{signature}",
        f"{part({'alg': 'ES256', 'typ': 'at+jwt', 'kid': '../' + kid})}.{body}.{signature}",
    ):
        names_a_tenant = text.count(".") == 2
        expect_401(authorizer_env, bearer(text), calls=READ_AND_TOLD if names_a_tenant else [])
        expect_401(authorizer_env, bearer(text))  # recorded only once a minute


def test_rejects_expired_and_early_tokens(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made, now = deployment.onboard(), deployment.clock()
    assert made.admin
    expect_401(
        authorizer_env, bearer(deployment.make_token(made.admin, now=now + timedelta(seconds=60))), calls=READ_AND_TOLD
    )
    token = deployment.make_token(made.admin)
    deployment.clock.advance(895)
    authorizer_env.context(bearer(token))
    deployment.clock.advance(5)
    expect_401(authorizer_env, bearer(token), calls=READ_AND_TOLD)


def test_rejects_a_token_of_another_issuer(deployment: Deployment) -> None:
    made = deployment.onboard()
    assert made.admin
    authorizer_env = AuthorizerEnv(deployment, PUBLIC_URL="https://api.example")
    expect_401(authorizer_env, bearer(deployment.make_token(made.admin)), calls=READ_AND_TOLD)


def _raise_version(deployment: Deployment, made: Onboarded, *, of_tenant: bool) -> None:
    assert made.admin
    key = keys.tenant() if of_tenant else keys.user(made.admin.id)
    write = Update(key, "SET #token_version = :two", EXISTS, {"two": 2})
    deployment.runtime.tenant_table(made.tenant.id).write(write)


@pytest.mark.parametrize("of_tenant", [True, False])
def test_a_forced_logout_ends_tokens(deployment: Deployment, authorizer_env: AuthorizerEnv, of_tenant: bool) -> None:
    made = deployment.onboard()
    assert made.admin
    token = deployment.make_token(made.admin)
    authorizer_env.context(bearer(token))
    _raise_version(deployment, made, of_tenant=of_tenant)
    deployment.clock.advance(verdict.KEPT_SECONDS)
    expect_401(authorizer_env, bearer(token), calls=READ_AND_TOLD)


def test_rejects_a_token_of_a_deleted_user(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.admin
    token = deployment.make_token(made.admin)
    deployment.runtime.tenant_table(made.tenant.id).write(Delete(keys.user(made.admin.id), EXISTS))
    expect_401(authorizer_env, bearer(token), calls=READ_AND_TOLD)
