"""A sign-in with each provider returns our tokens for a user of the tenant."""

from dataclasses import replace

import pytest
from atrium.identity.users.store import UserStore

from infra.local.oauth_provider import Account
from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.integration.social.conftest import BACK, ApiEnv
from tests.integration.social.signing_in import begin, come_back, complete

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize("name", ["google", "github", "slack"])
def test_a_user_signs_in(api_env: ApiEnv, name: str) -> None:
    api_env.set_up(name)
    assert api_env.tenant.admin
    api_env.provider.account = Account(email=api_env.tenant.admin.email.upper())
    answer = complete(api_env, come_back(api_env, name), name)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    tokens = answer.json()
    assert tokens["user"]["id"] == api_env.tenant.admin.id
    assert tokens["tenant"]["id"] == api_env.tenant.tenant.id
    context = AuthorizerEnv(api_env.deployment).context(bearer(tokens["access_token"]))
    assert context["principal_id"] == api_env.tenant.admin.id
    told = api_env.told("auth.login")
    assert {"by": "social sign-in", "provider": name, "user": api_env.tenant.admin.id} in told
    api_env.provider.account = replace(api_env.provider.account, email="changed@else.example")
    # After the first sign-in, the subject identifies the user.
    again = complete(api_env, come_back(api_env, name), name)
    assert again.json()["user"]["id"] == api_env.tenant.admin.id


def test_github_that_answers_with_forms(api_env: ApiEnv) -> None:
    api_env.set_up("github", provision_users=True)
    api_env.provider.answers.as_form = True
    assert complete(api_env, come_back(api_env, "github"), "github").status_code == 200


def test_a_newcomer_becomes_a_user_where_the_tenant_wants_it(api_env: ApiEnv) -> None:
    api_env.set_up(provision_users=True, default_role="viewer", email_domains=["acme.example"])
    user = complete(api_env, come_back(api_env)).json()["user"]
    assert (user["email"], user["name"], user["role"]) == ("ada@acme.example", "Ada Lovelace", "viewer")
    kept = UserStore(api_env.runtime.tenant_table(api_env.tenant.tenant.id)).find("ada@acme.example")
    assert kept
    assert (kept.id, kept.status) == (user["id"], "active")
    assert "provisioned" in [told.get("how") for told in api_env.told("auth.login")]


def test_a_browser_bound_by_its_cookie(api_env: ApiEnv) -> None:
    api_env.set_up(provision_users=True)
    browser = api_env.anyone()
    answer = begin(api_env, browser=browser, tenant="acme", redirect_uri=BACK)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-atrium-sign-in=")
    assert all(part in cookie for part in ("HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=600"))
    back = api_env.consent(answer.headers["location"])
    assert browser.get("/v1/auth/google/callback", params=back).status_code == 200


def test_the_platforms_own_client(api_env: ApiEnv) -> None:
    api_env.set_up(client_id="", client_secret="", provision_users=True)
    secret = api_env.deployment.secrets_client.create_secret(
        Name="oauth", SecretString='{"google": {"client_id": "local-client", "client_secret": "local-secret"}}'
    )
    api_env.runtime.secrets.settings = replace(
        api_env.runtime.settings, secret_arns={**api_env.runtime.settings.secret_arns, "oauth": secret["ARN"]}
    )
    assert complete(api_env, come_back(api_env)).status_code == 200


def test_writes_nothing_before_the_callback(api_env: ApiEnv) -> None:
    api_env.set_up()
    before = api_env.raw_items()
    assert begin(api_env).status_code == 302
    assert api_env.raw_items() == before
    assert "local-secret" not in before
    assert api_env.provider.asked == []


def test_beside_an_issuer_of_the_tenants_own(api_env: ApiEnv) -> None:
    """OIDC and social providers can be created in any order, and the list contains all of them."""
    own = {"issuer": "https://login.acme.example/", "jwks_uri": "https://login.acme.example/keys"}
    api_env.set_up("google")
    for number in range(2):
        body = {**own, "audience": f"https://atrium.example/{number}"}
        answer = api_env.admin().post("/v1/identity-providers", json=body)
        assert answer.status_code == 201, answer.text
    api_env.set_up("github")
    listed = api_env.admin().get("/v1/identity-providers").json()["data"]
    assert sorted(each["type"] for each in listed) == ["github", "google", "oidc", "oidc"]
