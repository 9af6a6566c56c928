"""`GET /.well-known/jwks.json`: the public keys with which other services verify our tokens."""

import jwt
from atrium.identity.tokens import name_issuer

from functions.identity.app import build
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as


def test_the_keys_verify_a_token(deployment: Deployment) -> None:
    made = deployment.onboard()
    assert made.admin
    answer = call_as(build(lambda: deployment.runtime), None).get("/.well-known/jwks.json")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=300"
    (key,) = answer.json()["keys"]
    assert "d" not in key
    token = deployment.make_token(made.admin)
    assert jwt.get_unverified_header(token)["kid"] == key["kid"]
    issuer = name_issuer(deployment.runtime.settings)
    options: jwt.types.Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    claims = jwt.decode(token, jwt.PyJWK(key).key, ["ES256"], audience=issuer, issuer=issuer, options=options)
    assert claims["sub"] == made.admin.id


def test_without_a_value_it_is_unavailable(deployment: Deployment) -> None:
    empty = deployment.secrets_client.create_secret(Name="empty")["ARN"]
    runtime = deployment.make_runtime(SIGNING_SECRET_ARN=empty)
    answer = call_as(build(lambda: runtime), None).get("/.well-known/jwks.json")
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
    assert "secret" not in answer.text
