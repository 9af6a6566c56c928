"""Signing in at each provider gives our own tokens to a user of the tenant."""

from dataclasses import replace

import pytest
from atrium.identity.users.store import UserStore

from infra.local.oauth_provider import Account
from tests.builders.authorizing import Door, bearer
from tests.integration.social.conftest import BACK, Stage
from tests.integration.social.signing_in import begin, come_back, complete

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize("name", ["google", "github", "slack"])
def test_a_user_signs_in(stage: Stage, name: str) -> None:
    stage.set_up(name)
    assert stage.tenant.admin
    stage.provider.account = Account(email=stage.tenant.admin.email.upper())
    answer = complete(stage, come_back(stage, name), name)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    tokens = answer.json()
    assert tokens["user"]["id"] == stage.tenant.admin.id
    assert tokens["tenant"]["id"] == stage.tenant.tenant.id
    context = Door(stage.deployment).context(bearer(tokens["access_token"]))
    assert context["principal_id"] == stage.tenant.admin.id
    told = stage.told("auth.login")
    assert {"by": "social sign-in", "provider": name, "user": stage.tenant.admin.id} in told
    stage.provider.account = replace(stage.provider.account, email="changed@else.example")
    again = complete(stage, come_back(stage, name), name)  # the subject decides from now on
    assert again.json()["user"]["id"] == stage.tenant.admin.id


def test_github_that_answers_with_forms(stage: Stage) -> None:
    stage.set_up("github", provision_users=True)
    stage.provider.answers.as_form = True
    assert complete(stage, come_back(stage, "github"), "github").status_code == 200


def test_a_newcomer_becomes_a_user_where_the_tenant_wants_it(stage: Stage) -> None:
    stage.set_up(provision_users=True, default_role="viewer", email_domains=["acme.example"])
    user = complete(stage, come_back(stage)).json()["user"]
    assert (user["email"], user["name"], user["role"]) == ("ada@acme.example", "Ada Lovelace", "viewer")
    kept = UserStore(stage.runtime.tenant_table(stage.tenant.tenant.id)).find("ada@acme.example")
    assert kept
    assert (kept.id, kept.status) == (user["id"], "active")
    assert "provisioned" in [told.get("how") for told in stage.told("auth.login")]


def test_a_browser_bound_by_its_cookie(stage: Stage) -> None:
    stage.set_up(provision_users=True)
    browser = stage.anyone()
    answer = begin(stage, browser=browser, tenant="acme", redirect_uri=BACK)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-atrium-sign-in=")
    assert all(part in cookie for part in ("HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=600"))
    back = stage.consent(answer.headers["location"])
    assert browser.get("/v1/auth/google/callback", params=back).status_code == 200


def test_the_platforms_own_client(stage: Stage) -> None:
    stage.set_up(client_id="", client_secret="", provision_users=True)
    secret = stage.deployment.secrets_client.create_secret(
        Name="oauth", SecretString='{"google": {"client_id": "local-client", "client_secret": "local-secret"}}'
    )
    stage.runtime.secrets.settings = replace(stage.runtime.settings, oauth_secret_arn=secret["ARN"])
    assert complete(stage, come_back(stage)).status_code == 200


def test_nothing_is_written_before_somebody_comes_back(stage: Stage) -> None:
    stage.set_up()
    before = stage.raw_items()
    assert begin(stage).status_code == 302
    assert stage.raw_items() == before
    assert "local-secret" not in before
    assert stage.provider.asked == []


def test_beside_an_issuer_of_the_tenants_own(stage: Stage) -> None:
    """Either may come first, and the list has both."""
    own = {"issuer": "https://login.acme.example/", "jwks_uri": "https://login.acme.example/keys"}
    stage.set_up("google")
    for number in range(2):
        body = {**own, "audience": f"https://atrium.example/{number}"}
        answer = stage.admin().post("/v1/identity-providers", json=body)
        assert answer.status_code == 201, answer.text
    stage.set_up("github")
    listed = stage.admin().get("/v1/identity-providers").json()["data"]
    assert sorted(each["type"] for each in listed) == ["github", "google", "oidc", "oidc"]
