"""`/oauth/authorize` and its refusals: to the client only where the answer may be sent, else on the page alone."""

import pytest
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update

from tests.builders.deployments import Deployment
from tests.builders.logins import Logins, open_logins
from tests.builders.oauth import Browser, make_client, read_answer

ISSUER = "https://example.org"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "cli_01k6r5m2x8f3v9q4w7t1y0z5ab"},
        {"client_id": "' OR 1=1 --"},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "https://client.example/callback/"},
        {"redirect_uri": "https://client.example/callback?x=1"},
        {"redirect_uri": "https://client.example/CALLBACK"},
        {"redirect_uri": "http://client.example/callback"},
        {"redirect_uri": "javascript:alert(1)"},
    ],
)
def test_nobody_is_sent_where_it_is_not_registered(browser: Browser, changes: dict[str, str | None]) -> None:
    page = browser.open(**changes)
    assert page.status_code == 400
    assert "location" not in page.headers
    assert page.headers["content-type"].startswith("text/html")
    assert "form-action 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": "agents:write"}, "invalid_scope"),
        ({"scope": "platform"}, "invalid_scope"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"prompt": "none"}, "login_required"),
        ({"request": "e30.e30."}, "request_not_supported"),
        ({"response_mode": "fragment"}, "invalid_request"),
    ],
)
def test_the_client_hears_what_is_wrong(browser: Browser, changes: dict[str, str | None], expected: str) -> None:
    answer = read_answer(browser.open(**changes))
    assert (answer["error"], answer["state"], answer["iss"]) == (expected, "a state & more", ISSUER)
    assert "code" not in answer


def test_an_unknown_parameter_is_ignored(browser: Browser) -> None:
    assert browser.open(utm_source="a newsletter").status_code == 200


def test_a_wrong_password_shows_the_page_again(logins: Logins, browser: Browser) -> None:
    page = browser.decide(browser.open(), password="wrong horse battery")
    assert page.status_code == 401
    assert "Email or password is wrong" in page.text
    assert "wrong horse" not in page.text
    unknown = browser.decide(page, email="nobody@acme.example")
    assert unknown.status_code == 401
    assert "code" in read_answer(browser.decide(unknown))
    assert len(logins.audited("auth.refuse")) == 2


@pytest.mark.parametrize("status", ["suspended", "invited"])
def test_a_suspended_user(logins: Logins, browser: Browser, status: str) -> None:
    write = Update(keys.user(logins.admin.id), "SET #status = :status", EXISTS, {"status": status})
    logins.deployment.runtime.tenant_table(logins.made.tenant.id).write(write)
    assert browser.decide(browser.open()).status_code in {401, 403}


def test_a_user_suspended_before_the_exchange(logins: Logins, browser: Browser) -> None:
    code = browser.agree()
    write = Update(keys.user(logins.admin.id), "SET #status = :status", EXISTS, {"status": "suspended"})
    logins.deployment.runtime.tenant_table(logins.made.tenant.id).write(write)
    assert browser.exchange(code).json()["error"] == "invalid_grant"


def test_a_form_that_was_not_shown_in_this_browser(logins: Logins, browser: Browser) -> None:
    """Another site can send a form, but it has neither the cookie nor a token that fits it."""
    page, attacker = browser.open(), Browser(logins, browser.issued)
    assert attacker.decide(page).status_code == 401
    attacker.open()
    assert attacker.decide(page).status_code == 401
    assert browser.decide(page, csrf="").status_code == 401
    assert browser.decide(page, csrf="A" * 60).status_code == 401
    assert browser.decide(page, state="another").status_code == 401
    assert logins.audited("auth.login") == []


def test_a_form_that_was_open_for_too_long(logins: Logins, browser: Browser) -> None:
    page = browser.open()
    logins.deployment.clock.turn(600)
    again = browser.decide(page)
    assert (again.status_code, "open for too long" in again.text) == (401, True)
    assert "code" in read_answer(browser.decide(again))


def test_a_user_of_another_tenant_is_unknown(deployment: Deployment, logins: Logins, browser: Browser) -> None:
    other = open_logins(deployment, "other")
    assert browser.decide(browser.open(), email=other.admin.email).status_code == 401


def test_a_client_without_the_grant(logins: Logins) -> None:
    browser = Browser(logins, make_client(logins, grant_types=["client_credentials"]))
    assert read_answer(browser.open())["error"] == "unauthorized_client"


@pytest.mark.parametrize("body", [b"\xff", b"a=b&" * 60, b"{}"])
def test_a_form_that_cannot_be_read(browser: Browser, body: bytes) -> None:
    headers = {"content-type": "application/json" if body == b"{}" else "application/x-www-form-urlencoded"}
    assert browser.client.post("/oauth/authorize", content=body, headers=headers).status_code == 400
