"""`GET /v1/auth/me` with the real context of the authorizer."""

from typing import Any

import pytest
from atrium.identity.scopes import SCOPES, TENANT_SCOPES
from fastapi import FastAPI

from functions.identity.app import build
from tests.builders.authorizing import AuthorizerEnv, Headers, bearer
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as


@pytest.fixture
def app(deployment: Deployment) -> FastAPI:
    return build(lambda: deployment.runtime)


def ask(deployment: Deployment, app: FastAPI, headers: Headers) -> dict[str, Any]:
    """Call the authorizer and then the function, as API Gateway does. Return the response body."""
    answer = call_as(app, AuthorizerEnv(deployment).context(headers)).get("/v1/auth/me")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_key(deployment: Deployment, app: FastAPI) -> None:
    made = deployment.onboard("Ätna")
    assert made.key
    deployment.tenants.change(made.tenant.id, {"settings": {"features": {"beta": True}}})
    assert ask(deployment, app, bearer(made.key.text)) == {
        "tenant": {"id": made.tenant.id, "name": "Ätna"},
        "principal": {"type": "key", "id": made.key.key.id, "name": "first key"},
        "role": None,
        "scopes": list(TENANT_SCOPES),
        "permissions": list(TENANT_SCOPES),
        "plan": "pro",
        "features": ["beta"],
    }


def test_a_narrow_key(deployment: Deployment, app: FastAPI) -> None:
    issued = deployment.make_key(deployment.onboard().tenant.id, ["chat"])
    found = ask(deployment, app, {"x-api-key": issued.text})
    assert (found["scopes"], found["permissions"]) == (["chat"], ["chat"])


def test_a_user(deployment: Deployment, app: FastAPI) -> None:
    made = deployment.onboard()
    assert made.admin
    found = ask(deployment, app, bearer(deployment.make_token(made.admin)))
    assert found["principal"] == {"type": "user", "id": made.admin.id, "name": "admin@acme.example"}
    assert found["role"] == "admin"


def test_the_platform(deployment: Deployment, app: FastAPI) -> None:
    key, made = deployment.make_platform_key(), deployment.onboard()
    alone = ask(deployment, app, bearer(key))
    assert (alone["tenant"], alone["plan"], alone["features"]) == (None, None, [])
    assert (alone["scopes"], alone["permissions"]) == (["platform"], list(SCOPES))
    inside = ask(deployment, app, {**bearer(key), "X-Tenant-ID": made.tenant.id})
    assert inside["tenant"] == {"id": made.tenant.id, "name": "acme"}


def test_without_a_credential(app: FastAPI) -> None:
    answer = call_as(app, None).get("/v1/auth/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
