"""A value that was created with a removed version of a secret is rejected like an unknown value, not with 503."""

import json
from typing import Any

import pytest
from atrium.audit.model import Origin
from atrium.identity.users.service import UserService
from atrium.identity.users.store import UserStore
from atrium.kernel.crypto import encode_base64url
from atrium.tenants.auditing import audit_of

from functions.admin.app import build as build_admin
from tests.builders.authorizing import READ_AND_TOLD, AuthorizerEnv, bearer, expect_401
from tests.builders.gateway import call_as, tenant_fields
from tests.builders.logins import Logins
from tests.builders.oauth import Browser


def replace_versions(logins: Logins, name: str) -> None:
    """Replace the only version of a secret with another version, and start a new container."""
    deployment = logins.deployment
    secret = {"current": 2, "peppers": {"2": encode_base64url(b"2" * 32)}}
    if name == "cursor":
        secret = {"key": encode_base64url(b"2" * 32)}
    arn = getattr(deployment.arns, name)
    deployment.secrets_client.put_secret_value(SecretId=arn, SecretString=json.dumps(secret))
    deployment.runtime = deployment.make_runtime()


def summarise(answer: Any) -> tuple[int, Any]:
    found = answer.json()
    return answer.status_code, found.get("code", found.get("error"))


def test_an_api_key(logins: Logins) -> None:
    issued = logins.deployment.make_key(logins.made.tenant.id)
    replace_versions(logins, "pepper")
    expect_401(AuthorizerEnv(logins.deployment), bearer(issued.text), calls=READ_AND_TOLD)


def test_a_one_time_token(logins: Logins) -> None:
    deployment, tenant = logins.deployment, logins.made.tenant
    table = deployment.runtime.tenant_table(tenant.id)
    audit = audit_of(tenant, table, Origin(), deployment.clock)
    pepper = deployment.runtime.secrets.peppers("one_time_token").current
    made = UserService(UserStore(table), audit, "dev", pepper, deployment.clock).create(
        {"email": "ann@b.example", "role": "user"}
    )
    replace_versions(logins, "credential")
    answer = logins.client().post(
        "/v1/auth/invitations/accept", json={"token": made.text, "password": "a new password"}
    )
    assert summarise(answer) == (401, "INVITATION_INVALID")


def test_a_client_secret(logins: Logins, browser: Browser) -> None:
    assert browser.token(grant_type="client_credentials").status_code == 200
    replace_versions(logins, "credential")
    assert summarise(browser.token(grant_type="client_credentials")) == (401, "invalid_client")


def test_a_refresh_token(logins: Logins) -> None:
    text = logins.begin().refresh_token
    replace_versions(logins, "login")
    answer = logins.client().post("/v1/auth/refresh", json={"refresh_token": text})
    assert summarise(answer) == (401, "TOKEN_INVALID")


def test_a_repeated_refresh_whose_successor_has_a_removed_version(logins: Logins) -> None:
    """The secret still has the version of the first token, but not the version of the token's successor.

    The refresh is rejected like a refresh with an unknown token.
    """
    deployment, arn = logins.deployment, logins.deployment.arns.login
    text = logins.begin().refresh_token
    before = json.loads(deployment.secrets_client.get_secret_value(SecretId=arn)["SecretString"])
    both = {"current": 2, "peppers": {**before["peppers"], "2": encode_base64url(b"2" * 32)}}
    deployment.secrets_client.put_secret_value(SecretId=arn, SecretString=json.dumps(both))
    deployment.runtime = deployment.make_runtime()
    assert logins.client().post("/v1/auth/refresh", json={"refresh_token": text}).status_code == 200
    deployment.secrets_client.put_secret_value(SecretId=arn, SecretString=json.dumps(before))
    deployment.runtime = deployment.make_runtime()
    answer = logins.client().post("/v1/auth/refresh", json={"refresh_token": text})
    assert summarise(answer) == (401, "TOKEN_INVALID")


def test_an_authorization_code(logins: Logins, browser: Browser) -> None:
    code = browser.agree()
    replace_versions(logins, "login")
    assert summarise(browser.exchange(code)) == (400, "invalid_grant")


def test_a_consent_form_is_shown_again(logins: Logins, browser: Browser) -> None:
    page = browser.open()
    replace_versions(logins, "login")
    answer = browser.decide(page)
    assert (answer.status_code, "open for too long" in answer.text) == (401, True)


@pytest.mark.parametrize("name", ["login", "cursor"])
def test_a_cursor_is_of_its_own_key(logins: Logins, name: str) -> None:
    tenant_id = logins.made.tenant.id
    logins.deployment.make_key(tenant_id)
    admin = call_as(build_admin(lambda: logins.deployment.runtime), tenant_fields(tenant_id=tenant_id, scopes="admin"))
    cursor = admin.get("/v1/keys", params={"limit": 1}).json()["next_cursor"]
    assert cursor
    replace_versions(logins, name)
    answer = admin.get("/v1/keys", params={"limit": 1, "cursor": cursor})
    assert answer.status_code == 200 if name == "login" else summarise(answer) == (400, "INVALID_CURSOR")
