"""A token that an OAuth client received for a user can only read the caller's identity.

All other routes without a required scope need the user's own login.
"""

import json
from typing import Any

import pytest

from infra.openapi.permissions import DOCUMENT
from tests.builders.deployments import Deployment
from tests.builders.logins import Logins, open_logins
from tests.builders.oauth import Browser, make_client

# All routes of the identity function that do not require a scope.
OPEN = {"GET /v1/auth/me"}
ROUTES = [
    f"{method.upper()} {path}"
    for path, item in json.loads(DOCUMENT.read_text(encoding="utf-8"))["paths"].items()
    for method, operation in item.items()
    if path.startswith(("/v1/auth/", "/v1/connections")) and operation.get("x-required-scope", "public") is None
]


@pytest.fixture
def logins(deployment: Deployment) -> Logins:
    return open_logins(deployment)


def token_of_client(logins: Logins, scope: str) -> str:
    browser = Browser(logins, make_client(logins))
    return str(browser.exchange(browser.agree(scope=scope)).json()["access_token"])


@pytest.mark.parametrize("scope", ["openid", "openid chat"])
def test_a_clients_token_makes_no_call_that_needs_the_users_own_login(logins: Logins, scope: str) -> None:
    other, text = logins.begin(), token_of_client(logins, scope)
    client = logins.client(text)
    bodies: dict[str, Any] = {
        "/v1/auth/logout": {"all": True},
        "/v1/auth/password": {"old_password": "x", "new_password": "a long password"},
    }
    assert len(ROUTES) >= 7
    for route in ROUTES:
        method, path = route.split()
        path = path.replace("{provider}", "google")
        query = "?state=x&code=x" if path.endswith("callback") else ""
        answer = client.request(method, path + query, json=bodies.get(path))
        assert answer.status_code == (200 if route in OPEN else 403), (route, answer.text)
    assert logins.client(other.access_token).get("/v1/auth/me").status_code == 200


def test_the_users_own_login_makes_them(logins: Logins) -> None:
    client = logins.client(logins.begin().access_token)
    assert client.get("/v1/connections").status_code == 200
    assert client.post("/v1/auth/logout", json={"all": True}).status_code == 204
