"""Errors of `/oauth/token`, `/oauth/revoke` and `/oauth/introspect`: RFC 6749 §5.2, and their audit."""

from typing import Any
from urllib.parse import urlencode

import pytest
from atrium.identity.clients.model import IssuedClient
from atrium.identity.oauth.codes import CODE_SECONDS

from functions.authorizer import verdict
from tests.builders.authorizing import READ_AND_TOLD, AuthorizerEnv, bearer, expect_401
from tests.builders.deployments import Deployment, counting
from tests.builders.logins import Logins, open_logins
from tests.builders.oauth import CALLBACK, FORM, VERIFIER, Browser, basic, make_client


def error(response: Any, status: int = 400) -> str:
    body = response.json()
    assert response.status_code == status, body
    assert set(body) == {"error", "error_description"}
    assert response.headers["cache-control"] == "no-store"
    return str(body["error"])


def test_a_code_is_good_once_and_a_second_use_ends_what_it_gave(logins: Logins, browser: Browser) -> None:
    code = browser.agree()
    given, authorizer_env = browser.exchange(code).json(), AuthorizerEnv(logins.deployment)
    authorizer_env.context(bearer(given["access_token"]))
    assert error(browser.exchange(code)) == "invalid_grant"
    assert error(browser.token(grant_type="refresh_token", refresh_token=given["refresh_token"])) == "invalid_grant"
    logins.deployment.clock.advance(verdict.KEPT_SECONDS)
    expect_401(authorizer_env, bearer(given["access_token"]), calls=READ_AND_TOLD)
    (event,) = logins.audited("auth.token_reuse")
    assert event.details["by"] == "code"
    assert code not in repr(logins.audited())


def test_a_code_ends_after_five_minutes(logins: Logins, browser: Browser) -> None:
    code = browser.agree()
    logins.deployment.clock.advance(CODE_SECONDS)
    assert error(browser.exchange(code)) == "invalid_grant"


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": CALLBACK + "/"},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": ""},
        {"code_verifier": ""},
        {"code_verifier": VERIFIER[:-1] + "8"},
        {"code_verifier": VERIFIER[:42]},
        {"code_verifier": "x" * 129},
    ],
)
def test_a_code_with_what_does_not_fit(logins: Logins, browser: Browser, changes: dict[str, str]) -> None:
    code = browser.agree()
    assert error(browser.exchange(code, **changes)) == "invalid_grant"
    assert logins.audited("auth.refuse")[0].details["by"] == "code"
    assert browser.exchange(code).status_code == 200


def test_a_code_of_another_client_or_tenant(deployment: Deployment, logins: Logins, browser: Browser) -> None:
    code = browser.agree()
    neighbour = Browser(logins, make_client(logins))
    outsider_logins = open_logins(deployment, "other")
    outsider = Browser(outsider_logins, make_client(outsider_logins))
    for other in (neighbour, outsider):
        assert error(other.exchange(code)) == "invalid_grant"
    with counting(deployment.table) as calls:
        assert error(outsider.exchange(code)) == "invalid_grant"
    assert calls == ["BatchGetItem"]  # only client and tenant are read, and an equal event is already in the audit
    assert browser.exchange(code).status_code == 200


def test_a_refresh_token_of_another_client(logins: Logins, browser: Browser) -> None:
    given = browser.exchange(browser.agree()).json()
    other = Browser(logins, make_client(logins))
    assert error(other.token(grant_type="refresh_token", refresh_token=given["refresh_token"])) == "invalid_grant"
    assert logins.audited("auth.refuse")[0].details["reason"] == "the token was issued to another client"
    answer = browser.client.post("/v1/auth/refresh", json={"refresh_token": given["refresh_token"]})
    assert answer.status_code == 401
    assert browser.token(grant_type="refresh_token", refresh_token=given["refresh_token"]).status_code == 200


def test_a_used_refresh_token_ends_its_login(logins: Logins, browser: Browser) -> None:
    first = browser.exchange(browser.agree()).json()["refresh_token"]
    second = browser.token(grant_type="refresh_token", refresh_token=first).json()["refresh_token"]
    third = browser.token(grant_type="refresh_token", refresh_token=second).json()["refresh_token"]
    for text in (first, third):
        assert error(browser.token(grant_type="refresh_token", refresh_token=text)) == "invalid_grant"
    assert len(logins.audited("auth.token_reuse")) == 1


@pytest.mark.parametrize("scope", ["agents:write", "chat admin", "platform", "openid", "CHAT"])
def test_a_scope_that_the_client_lacks(browser: Browser, scope: str) -> None:
    assert error(browser.token(grant_type="client_credentials", scope=scope)) == "invalid_scope"


def test_a_scope_that_the_user_did_not_agree_to(browser: Browser) -> None:
    given = browser.exchange(browser.agree(scope="chat")).json()["refresh_token"]
    wide = browser.token(grant_type="refresh_token", refresh_token=given, scope="chat sessions:read")
    assert error(wide) == "invalid_scope"
    assert browser.token(grant_type="refresh_token", refresh_token=given, scope="chat").status_code == 200


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "atr_ac_x"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "atr_rt_x"}, "invalid_grant"),
        ({"grant_type": "client_credentials", "resource": "https://elsewhere.example"}, "invalid_target"),
    ],
)
def test_forms_that_do_not_fit(browser: Browser, form: dict[str, str], expected: str) -> None:
    assert error(browser.token(**form)) == expected


@pytest.mark.parametrize("grants", [["client_credentials"], ["authorization_code"]])
def test_a_grant_that_the_client_may_not_use(logins: Logins, grants: list[str]) -> None:
    browser = Browser(logins, make_client(logins, grant_types=grants))
    for kind in {"client_credentials", "authorization_code", "refresh_token"} - set(grants):
        assert error(browser.token(grant_type=kind, code="x", refresh_token="x")) == "unauthorized_client"


def wrong_proofs(issued: IssuedClient) -> list[dict[str, str]]:
    other = issued.secret[:-1] + ("a" if issued.secret[-1] != "a" else "b")
    return [basic(issued, other), basic(issued, ""), {"authorization": "Basic !"}, {"authorization": "Bearer x"}]


def test_a_client_that_does_not_prove_itself(logins: Logins, browser: Browser) -> None:
    for headers in wrong_proofs(browser.issued):
        answer = browser.token(headers, grant_type="client_credentials")
        assert error(answer, 401) == "invalid_client"
        assert answer.headers["www-authenticate"].startswith("Basic")
    named = {"client_id": browser.issued.client.id}
    assert error(browser.token({}, grant_type="client_credentials", **named)) == "invalid_client"
    assert error(browser.token({}, grant_type="client_credentials", **named, client_secret="é")) == "invalid_client"
    refused = logins.audited("auth.refuse")
    assert {event.details["client_id"] for event in refused} == {browser.issued.client.id}
    assert browser.issued.secret not in repr(refused)


def test_two_proofs_at_once(browser: Browser) -> None:
    form = {"grant_type": "client_credentials", "client_secret": browser.issued.secret}
    assert error(browser.token(**form)) == "invalid_request"
    other = {"grant_type": "client_credentials", "client_id": "cli_01k6r5m2x8f3v9q4w7t1y0z5ab"}
    assert error(browser.token(**other)) == "invalid_request"


@pytest.mark.parametrize(
    "client_id", ["", "x", "cli_01k6r5m2x8f3v9q4w7t1y0z5ab", "cli_" + "0" * 52, "cli_../../etc", "' OR 1=1 --", "é"]
)
def test_a_client_that_is_not_there(browser: Browser, client_id: str) -> None:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": "atr_cs_x"}
    assert error(browser.token({}, **form)) in {"invalid_client", "invalid_request"}


def test_a_public_client_has_no_secret(logins: Logins) -> None:
    public = make_client(logins, type="public", grant_types=["authorization_code"])
    browser = Browser(logins, public)
    assert error(browser.token(basic(public, "atr_cs_x"), grant_type="authorization_code"), 401) == "invalid_client"
    form = {"token": "x", "client_id": public.client.id}
    answer = browser.client.post("/oauth/introspect", content=urlencode(form), headers=FORM)
    assert error(answer) == "unauthorized_client"


@pytest.mark.parametrize(
    ("body", "media"),
    [
        ('{"grant_type": "client_credentials"}', "application/json"),
        ("grant_type=client_credentials", "text/plain"),
        ("grant_type=client_credentials&grant_type=refresh_token", FORM["content-type"]),
        (b"\xff\xfe", FORM["content-type"]),
        ("a=b&" * 60, FORM["content-type"]),
        ("grant_type=" + "x" * 70_000, FORM["content-type"]),
        ("", FORM["content-type"]),
    ],
)
def test_a_body_that_is_no_form(browser: Browser, body: str | bytes, media: str) -> None:
    headers = {**basic(browser.issued), "content-type": media}
    assert error(browser.client.post("/oauth/token", content=body, headers=headers)) == "invalid_request"


def test_revoking_what_is_not_ones_own(logins: Logins, browser: Browser) -> None:
    given = browser.exchange(browser.agree()).json()
    other = make_client(logins)
    for text in (given["refresh_token"], given["access_token"]):
        answer = browser.client.post(
            "/oauth/revoke", content=urlencode({"token": text}), headers={**FORM, **basic(other)}
        )
        assert error(answer) == "unauthorized_client"
    for text in ("x", "atr_rt_x", "a.b.c"):
        answer = browser.client.post(
            "/oauth/revoke", content=urlencode({"token": text}), headers={**FORM, **basic(other)}
        )
        assert (answer.status_code, answer.content) == (200, b"")
    assert browser.token(grant_type="refresh_token", refresh_token=given["refresh_token"]).status_code == 200


def test_another_tenants_token_is_not_there(deployment: Deployment, logins: Logins, browser: Browser) -> None:
    given = browser.exchange(browser.agree()).json()
    outsider = make_client(open_logins(deployment, "other"))
    headers = {**FORM, **basic(outsider)}
    for text in (given["refresh_token"], given["access_token"]):
        answer = browser.client.post("/oauth/introspect", content=urlencode({"token": text}), headers=headers)
        assert answer.json() == {"active": False}
        answer = browser.client.post("/oauth/revoke", content=urlencode({"token": text}), headers=headers)
        assert answer.status_code == 200
    assert browser.token(grant_type="refresh_token", refresh_token=given["refresh_token"]).status_code == 200


def test_a_suspended_tenant(logins: Logins, browser: Browser) -> None:
    logins.deployment.tenants.set_status(logins.made.tenant.id, "suspended", "")
    assert error(browser.token(grant_type="client_credentials"), 401) == "invalid_client"


def test_made_up_codes_cost_one_read_for_the_client_alone(logins: Logins, browser: Browser) -> None:
    with counting(logins.deployment.table) as calls:
        assert error(browser.exchange("atr_ac_" + "0" * 78)) == "invalid_grant"
    assert [call for call in calls if call != "BatchGetItem"] in ([], ["GetItem"])
