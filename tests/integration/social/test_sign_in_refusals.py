"""Sign-ins that come to nothing: each with its status, no user and no login made, and told to the tenant."""

import socket
from typing import Any

import pytest
from atrium.identity.social.state import challenge_of

from infra.local.oauth_provider import Account
from tests.builders.issuers import say
from tests.integration.social.conftest import BACK, Stage
from tests.integration.social.signing_in import VERIFIER, begin, come_back, complete

pytestmark = pytest.mark.loopback


def refuse(stage: Stage, answer: Any, status: int, code: str, *, told: bool = True) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert "FAMILY#" not in stage.raw_items()
    assert [each["code"] for each in stage.told("auth.refuse")][:1] == ([code] if told else [])
    stage.clock.turn(1)


def test_what_is_not_set_up_is_not_found(stage: Stage) -> None:
    other = stage.deployment.onboard("other")
    stage.set_up()
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("github", {}),
        ("facebook", {}),
        ("google", {"tenant": other.tenant.id}),
        ("google", {"tenant": "nobody"}),
        ("google", {"tenant": "ten_01k6r5m2x8f3v9q4w7t1y0z5ab"}),
        ("google", {"redirect_uri": "https://app.acme.example/back/"}),
        ("google", {"redirect_uri": "https://evil.example/back"}),
        ("google", {"redirect_uri": f"{BACK}?a=b"}),
    ]
    for name, query in wrong:
        answer = begin(stage, name, **query)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND"), (name, query)
    unfit: list[dict[str, Any]] = [
        {"code_challenge": "x"},
        {"code_challenge_method": "plain"},
        {"tenant": ""},
        {"a": "b"},
    ]
    for query in unfit:
        assert begin(stage, **query).status_code == 422


def test_a_state_is_good_once(stage: Stage) -> None:
    stage.set_up(provision_users=True)
    back = come_back(stage)
    assert complete(stage, back).status_code == 200
    asked = len(stage.provider.asked)
    answer = complete(stage, back)
    assert (answer.status_code, answer.json()["code"]) == (400, "STATE_INVALID")
    assert len(stage.provider.asked) == asked
    fresh = come_back(stage)
    answer = complete(stage, {**fresh, "code": back["code"]})  # a code that was used, under a good state
    assert (answer.status_code, answer.json()["code"]) == (403, "PROVIDER_REFUSED")


def test_states_that_are_not_good(stage: Stage) -> None:
    stage.set_up()
    stage.set_up("github")
    back = come_back(stage)
    for state in ("made-up", back["state"][:-2], back["state"] + "AA", "x" * 4_000):
        refuse(stage, complete(stage, {**back, "state": state}), 400, "STATE_INVALID", told=False)
    refuse(stage, complete(stage, back, "github"), 400, "STATE_INVALID", told=False)
    stage.clock.turn(600)
    refuse(stage, complete(stage, back), 400, "STATE_INVALID", told=False)
    assert all("/token" not in path for path in stage.provider.asked)


def test_another_browser(stage: Stage) -> None:
    stage.set_up()
    back = come_back(stage)
    for verifier in (None, "", "another-verifier-of-forty-three-characters-0"):
        refuse(stage, complete(stage, back, verifier=verifier), 400, "STATE_INVALID")
    bound = stage.consent(begin(stage, browser=stage.anyone()).headers["location"])
    refuse(stage, complete(stage, bound, verifier=None), 400, "STATE_INVALID")
    refuse(stage, complete(stage, bound, verifier=VERIFIER), 400, "STATE_INVALID")


def test_a_redirect_without_anything(stage: Stage) -> None:
    stage.set_up()
    back = come_back(stage)
    refuse(stage, complete(stage, {"state": back["state"]}), 400, "MALFORMED")


@pytest.mark.parametrize("name", ["google", "github", "slack"])
def test_a_provider_that_says_no(stage: Stage, name: str) -> None:
    made = stage.set_up(name)
    back = come_back(stage, name)
    refuse(stage, complete(stage, {**back, "code": "wrong"}, name), 403, "PROVIDER_REFUSED")
    stage.provider.error = "access_denied"
    denied = complete(stage, come_back(stage, name), name)
    assert denied.json()["detail"] == "The provider refused: access_denied"
    refuse(stage, denied, 403, "PROVIDER_REFUSED")
    stage.provider.error = "<script>alert(1)</script>"
    odd = complete(stage, come_back(stage, name), name)
    assert "script" not in odd.text
    refuse(stage, odd, 403, "PROVIDER_REFUSED")
    stage.provider.error = ""
    changed = {"client_secret": "wrong"}
    assert stage.admin().patch(f"/v1/identity-providers/{made['id']}", json=changed).status_code == 200
    answer = complete(stage, come_back(stage, name), name)
    assert answer.json()["detail"] == "The provider refused: invalid_client"
    refuse(stage, answer, 403, "PROVIDER_REFUSED")


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


def test_a_provider_that_fails(stage: Stage) -> None:
    stage.set_up(provision_users=True)
    for path, script in ANSWERS:
        stage.provider.scripts = {path: script}
        refuse(stage, complete(stage, come_back(stage)), 502, "PROVIDER_FAILED")


def test_a_provider_that_is_not_there(stage: Stage) -> None:
    stage.set_up()
    back = come_back(stage)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    object.__setattr__(stage.runtime.settings, "oauth_provider_url", f"http://127.0.0.1:{port}")
    refuse(stage, complete(stage, back), 502, "PROVIDER_FAILED")


def test_an_id_token_of_another_flow(stage: Stage) -> None:
    stage.set_up(provision_users=True)
    back = come_back(stage)
    token_store = stage.provider.answers.token_store
    issued = token_store.codes[back["code"]]
    token_store.codes[back["code"]] = type(issued)(**{**vars(issued), "nonce": "another"})
    refuse(stage, complete(stage, back), 502, "PROVIDER_FAILED")


@pytest.mark.parametrize("name", ["google", "github", "slack"])
def test_an_email_that_is_not_verified(stage: Stage, name: str) -> None:
    stage.set_up(name, provision_users=True)
    assert stage.tenant.admin
    stage.provider.account = Account(email=stage.tenant.admin.email, email_verified=False)
    refuse(stage, complete(stage, come_back(stage, name), name), 403, "EMAIL_UNVERIFIED")


def test_people_who_may_not_come_in(stage: Stage) -> None:
    made = stage.set_up()
    refuse(stage, complete(stage, come_back(stage)), 403, "FORBIDDEN")
    changes = {"provision_users": True, "email_domains": ["else.example"]}
    assert stage.admin().patch(f"/v1/identity-providers/{made['id']}", json=changes).status_code == 200
    refuse(stage, complete(stage, come_back(stage)), 403, "FORBIDDEN")


def test_a_tenant_that_is_full(stage: Stage) -> None:
    stage.tenant = stage.deployment.onboard("small", "free")
    stage.set_up(provision_users=True)
    for at in range(4):
        stage.provider.account = Account(subject=f"s{at}", email=f"u{at}@acme.example")
        assert complete(stage, come_back(stage)).status_code == 200
    stage.provider.account = Account(subject="s9", email="u9@acme.example")
    answer = complete(stage, come_back(stage))
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (403, "QUOTA_EXCEEDED", "users")
    assert "u9@acme.example" not in stage.raw_items()


def test_a_tenant_that_is_suspended_meanwhile(stage: Stage) -> None:
    stage.set_up(provision_users=True)
    back = come_back(stage)
    stage.deployment.tenants.set_status(stage.tenant.tenant.id, "suspended", "")
    refuse(stage, complete(stage, back), 403, "TENANT_INACTIVE")
    assert begin(stage).status_code == 404


def test_the_local_provider_is_not_asked_by_a_runtime_without_the_allowance(stage: Stage) -> None:
    stage.set_up()
    back = come_back(stage)
    stage.runtime.__dict__["egress"] = stage.deployment.make_runtime().egress
    refuse(stage, complete(stage, back), 502, "PROVIDER_FAILED")
    assert challenge_of(VERIFIER)


def test_a_state_that_is_shown_again_and_again_is_recorded_once(stage: Stage) -> None:
    stage.set_up()
    back = come_back(stage)
    answers = [complete(stage, back) for _ in range(20)]
    assert {answer.status_code for answer in answers[1:]} == {400}
    assert len([told for told in stage.told("auth.refuse") if "used before" in str(told)]) == 1
