"""Failed sign-ins: the status and the tenant's audit event. No user or login is created."""

import socket
from typing import Any

import pytest
from atrium.identity.social.state import challenge_of

from infra.local.oauth_provider import Account
from tests.builders.issuers import say
from tests.integration.social.conftest import BACK, ApiEnv
from tests.integration.social.signing_in import VERIFIER, begin, come_back, complete

pytestmark = pytest.mark.loopback


def refuse(api_env: ApiEnv, answer: Any, status: int, code: str, *, told: bool = True) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert "FAMILY#" not in api_env.raw_items()
    assert [each["code"] for each in api_env.told("auth.refuse")][:1] == ([code] if told else [])
    api_env.clock.advance(1)


def test_what_is_not_set_up_is_not_found(api_env: ApiEnv) -> None:
    other = api_env.deployment.onboard("other")
    api_env.set_up()
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("github", {}),
        ("facebook", {}),
        ("google", {"tenant": other.tenant.id}),
        ("google", {"tenant": "unknown"}),
        ("google", {"tenant": "ten_01k6r5m2x8f3v9q4w7t1y0z5ab"}),
        ("google", {"redirect_uri": "https://app.acme.example/back/"}),
        ("google", {"redirect_uri": "https://evil.example/back"}),
        ("google", {"redirect_uri": f"{BACK}?a=b"}),
    ]
    for name, query in wrong:
        answer = begin(api_env, name, **query)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND"), (name, query)
    unfit: list[dict[str, Any]] = [
        {"code_challenge": "x"},
        {"code_challenge_method": "plain"},
        {"tenant": ""},
        {"a": "b"},
    ]
    for query in unfit:
        assert begin(api_env, **query).status_code == 422


def test_a_state_is_good_once(api_env: ApiEnv) -> None:
    api_env.set_up(provision_users=True)
    back = come_back(api_env)
    assert complete(api_env, back).status_code == 200
    asked = len(api_env.provider.asked)
    answer = complete(api_env, back)
    assert (answer.status_code, answer.json()["code"]) == (400, "STATE_INVALID")
    assert len(api_env.provider.asked) == asked
    fresh = come_back(api_env)
    answer = complete(api_env, {**fresh, "code": back["code"]})  # a used code with a valid state
    assert (answer.status_code, answer.json()["code"]) == (403, "PROVIDER_REFUSED")


def test_states_that_are_not_good(api_env: ApiEnv) -> None:
    api_env.set_up()
    api_env.set_up("github")
    back = come_back(api_env)
    for state in ("made-up", back["state"][:-2], back["state"] + "AA", "x" * 4_000):
        refuse(api_env, complete(api_env, {**back, "state": state}), 400, "STATE_INVALID", told=False)
    refuse(api_env, complete(api_env, back, "github"), 400, "STATE_INVALID", told=False)
    api_env.clock.advance(600)
    refuse(api_env, complete(api_env, back), 400, "STATE_INVALID", told=False)
    assert all("/token" not in path for path in api_env.provider.asked)


def test_another_browser(api_env: ApiEnv) -> None:
    api_env.set_up()
    back = come_back(api_env)
    for verifier in (None, "", "another-verifier-of-forty-three-characters-0"):
        refuse(api_env, complete(api_env, back, verifier=verifier), 400, "STATE_INVALID")
    bound = api_env.consent(begin(api_env, browser=api_env.anyone()).headers["location"])
    refuse(api_env, complete(api_env, bound, verifier=None), 400, "STATE_INVALID")
    refuse(api_env, complete(api_env, bound, verifier=VERIFIER), 400, "STATE_INVALID")


def test_a_redirect_without_anything(api_env: ApiEnv) -> None:
    api_env.set_up()
    back = come_back(api_env)
    refuse(api_env, complete(api_env, {"state": back["state"]}), 400, "MALFORMED")


@pytest.mark.parametrize("name", ["google", "github", "slack"])
def test_a_provider_that_says_no(api_env: ApiEnv, name: str) -> None:
    made = api_env.set_up(name)
    back = come_back(api_env, name)
    refuse(api_env, complete(api_env, {**back, "code": "wrong"}, name), 403, "PROVIDER_REFUSED")
    api_env.provider.error = "access_denied"
    denied = complete(api_env, come_back(api_env, name), name)
    assert denied.json()["detail"] == "The OAuth provider refused the request: access_denied"
    refuse(api_env, denied, 403, "PROVIDER_REFUSED")
    api_env.provider.error = "<script>alert(1)</script>"
    odd = complete(api_env, come_back(api_env, name), name)
    assert "script" not in odd.text
    refuse(api_env, odd, 403, "PROVIDER_REFUSED")
    api_env.provider.error = ""
    changed = {"client_secret": "wrong"}
    assert api_env.admin().patch(f"/v1/identity-providers/{made['id']}", json=changed).status_code == 200
    answer = complete(api_env, come_back(api_env, name), name)
    assert answer.json()["detail"] == "The OAuth provider refused the request: invalid_client"
    refuse(api_env, answer, 403, "PROVIDER_REFUSED")


ANSWERS: list[tuple[str, Any]] = [
    ("/google/token", say(500)),
    ("/google/token", say(429)),
    ("/google/token", say(302, b"", location="http://169.254.169.254/")),
    ("/google/token", say(200, b"x" * 300_000)),
    ("/google/token", say(200, b"<html>")),
    ("/google/token", say(200, {"token_type": "Bearer"})),
    ("/google/token", say(200, {"access_token": "a"})),
    ("/google/token", say(200, {"access_token": "a", "id_token": "a.b.c"})),
    ("/google/oauth2/v3/certs", say(503)),
    ("/google/oauth2/v3/certs", say(200, {"keys": []})),
]


def test_a_provider_that_fails(api_env: ApiEnv) -> None:
    api_env.set_up(provision_users=True)
    for path, script in ANSWERS:
        api_env.provider.scripts = {path: script}
        refuse(api_env, complete(api_env, come_back(api_env)), 502, "PROVIDER_FAILED")


def test_a_provider_that_is_not_there(api_env: ApiEnv) -> None:
    api_env.set_up()
    back = come_back(api_env)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    object.__setattr__(api_env.runtime.settings, "oauth_provider_url", f"http://127.0.0.1:{port}")
    refuse(api_env, complete(api_env, back), 502, "PROVIDER_FAILED")


def test_an_id_token_of_another_flow(api_env: ApiEnv) -> None:
    api_env.set_up(provision_users=True)
    back = come_back(api_env)
    token_store = api_env.provider.answers.token_store
    issued = token_store.codes[back["code"]]
    token_store.codes[back["code"]] = type(issued)(**{**vars(issued), "nonce": "another"})
    refuse(api_env, complete(api_env, back), 502, "PROVIDER_FAILED")


@pytest.mark.parametrize("name", ["google", "github", "slack"])
def test_an_email_that_is_not_verified(api_env: ApiEnv, name: str) -> None:
    api_env.set_up(name, provision_users=True)
    assert api_env.tenant.admin
    api_env.provider.account = Account(email=api_env.tenant.admin.email, email_verified=False)
    refuse(api_env, complete(api_env, come_back(api_env, name), name), 403, "EMAIL_UNVERIFIED")


def test_rejects_users_who_may_not_log_in(api_env: ApiEnv) -> None:
    made = api_env.set_up()
    refuse(api_env, complete(api_env, come_back(api_env)), 403, "FORBIDDEN")
    changes = {"provision_users": True, "email_domains": ["else.example"]}
    assert api_env.admin().patch(f"/v1/identity-providers/{made['id']}", json=changes).status_code == 200
    refuse(api_env, complete(api_env, come_back(api_env)), 403, "FORBIDDEN")


def test_a_tenant_that_is_full(api_env: ApiEnv) -> None:
    api_env.tenant = api_env.deployment.onboard("small", "free")
    api_env.set_up(provision_users=True)
    for at in range(4):
        api_env.provider.account = Account(subject=f"s{at}", email=f"u{at}@acme.example")
        assert complete(api_env, come_back(api_env)).status_code == 200
    api_env.provider.account = Account(subject="s9", email="u9@acme.example")
    answer = complete(api_env, come_back(api_env))
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (403, "QUOTA_EXCEEDED", "users")
    assert "u9@acme.example" not in api_env.raw_items()


def test_a_tenant_that_is_suspended_meanwhile(api_env: ApiEnv) -> None:
    api_env.set_up(provision_users=True)
    back = come_back(api_env)
    api_env.deployment.tenants.set_status(api_env.tenant.tenant.id, "suspended", "")
    refuse(api_env, complete(api_env, back), 403, "TENANT_INACTIVE")
    assert begin(api_env).status_code == 404


def test_the_local_provider_is_not_asked_by_a_runtime_without_the_allowance(api_env: ApiEnv) -> None:
    api_env.set_up()
    back = come_back(api_env)
    api_env.runtime.__dict__["egress"] = api_env.deployment.make_runtime().egress
    refuse(api_env, complete(api_env, back), 502, "PROVIDER_FAILED")
    assert challenge_of(VERIFIER)


def test_a_state_that_is_shown_again_and_again_is_recorded_once(api_env: ApiEnv) -> None:
    api_env.set_up()
    back = come_back(api_env)
    answers = [complete(api_env, back) for _ in range(20)]
    assert {answer.status_code for answer in answers[1:]} == {400}
    assert len([told for told in api_env.told("auth.refuse") if "used before" in str(told)]) == 1


@pytest.mark.parametrize("name", ["atrium-sign-in", "__Secure-atrium-sign-in", "__Host-atrium-sign-in"])
def test_on_https_only_a_cookie_that_no_other_host_can_set_binds_a_browser(api_env: ApiEnv, name: str) -> None:
    api_env.set_up(provision_users=True)
    browser = api_env.anyone()
    answer = begin(api_env, browser=browser)
    value = answer.headers["set-cookie"].partition(";")[0].partition("=")[2]
    back = api_env.consent(answer.headers["location"])
    planted = api_env.anyone()
    planted.cookies.set(name, value)
    status = planted.get("/v1/auth/google/callback", params=back).status_code
    assert status == (200 if name.startswith("__Host-") else 400)
