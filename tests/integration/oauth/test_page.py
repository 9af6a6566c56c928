"""`/oauth/authorize` and its errors: an invalid request leads to an error page, without a redirect."""

from urllib.parse import urlencode

import pytest
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update

from tests.builders.deployments import Deployment
from tests.builders.logins import Logins, open_logins
from tests.builders.oauth import CALLBACK, Browser, make_client, read_answer


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
def test_never_redirects_to_an_unregistered_uri(browser: Browser, changes: dict[str, str | None]) -> None:
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
        ({"scope": "offline_access"}, "invalid_scope"),
        ({"nonce": "x" * 513}, "invalid_request"),
        ({"request": "e30.e30."}, "request_not_supported"),
        ({"response_mode": "fragment"}, "invalid_request"),
    ],
)
def test_shows_an_invalid_request_without_a_redirect(
    browser: Browser, changes: dict[str, str | None], expected: str
) -> None:
    shown = browser.open(**changes)
    posted = browser.decide(browser.open(), **{name: value or "" for name, value in changes.items()})
    for page in (shown, posted):
        assert (page.status_code, "location" in page.headers) == (400, False)
        assert f"({expected})" in page.text
        assert "form-action 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["utm_source", "email", "password", "decision", "csrf", "login_hint", "max_age", "x"])
def test_an_unknown_parameter_is_ignored(browser: Browser, name: str) -> None:
    page = browser.open(**{name: "from the query"})
    assert (page.status_code, "from the query" in page.text) == (200, False)
    assert "code" in read_answer(browser.decide(page))


def test_unknown_parameters_may_be_many_and_stand_twice(browser: Browser) -> None:
    pairs = [*browser.request().items(), *[("utm_source", str(at)) for at in range(60)]]
    page = browser.client.get(f"/oauth/authorize?{urlencode(pairs)}")
    assert "code" in read_answer(browser.decide(page))


LOOPBACK = ["http://127.0.0.1/cb?a=1", "http://[::1]:8080/cb"]


@pytest.mark.parametrize(
    "used", ["http://127.0.0.1:53219/cb?a=1", "http://127.0.0.1/cb?a=1", "http://[::1]:1/cb", "http://[::1]/cb"]
)
def test_a_program_on_the_users_machine_may_use_any_port(logins: Logins, used: str) -> None:
    browser = Browser(logins, make_client(logins, redirect_uris=LOOPBACK))
    page = browser.open(redirect_uri=used)
    answer = browser.decide(page)
    assert answer.headers["location"].startswith(used + ("&" if "?" in used else "?"))
    code = read_answer(answer)["code"]
    assert browser.exchange(code, redirect_uri="http://127.0.0.1:1/cb?a=1").json()["error"] == "invalid_grant"
    assert browser.exchange(code, redirect_uri=used).status_code == 200


@pytest.mark.parametrize(
    "used",
    [
        "http://127.0.0.1:53219/CB?a=1", "http://127.0.0.1:53219/cb", "https://127.0.0.1:53219/cb?a=1",
        "http://127.0.0.2:53219/cb?a=1", "http://127.0.0.1:53219@evil.example/cb?a=1", "http://[::1]:99999/cb",
        "http://127.0.0.1:53219.evil.example/cb?a=1", "http://localhost:53219/cb", "http://[::2]:8080/cb",
        "https://client.example:8443/callback", "http://127.0.0.1:/cb?a=1", "http://127.0.0.1:1\n/cb?a=1",
    ],
)  # fmt: skip
def test_nothing_but_the_port_of_a_loopback_ip_may_differ(logins: Logins, used: str) -> None:
    registered = [*LOOPBACK, "http://localhost/cb", CALLBACK]
    page = Browser(logins, make_client(logins, redirect_uris=registered)).open(redirect_uri=used)
    assert (page.status_code, "location" in page.headers) == (400, False)


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("http://[::1]:53219/cb", "http://*:53219"),
        ("http://[::1]/cb", "http://*"),
        ("http://127.0.0.1:53219/cb", "http://127.0.0.1:53219"),
        ("https://client.example/callback", "https://client.example"),
        ("com.example.app:/cb", "com.example.app:"),
    ],
)
def test_the_pages_policy_names_a_source_that_browsers_know(logins: Logins, uri: str, source: str) -> None:
    page = Browser(logins, make_client(logins, redirect_uris=[uri])).open(redirect_uri=uri)
    assert f"form-action 'self' {source};" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("openid offline_access chat", "chat openid"),
        ("chat https://elsewhere.example/mail.read", "chat"),
        (" chat  chat ", "chat"),
    ],
)
def test_scopes_that_do_not_exist_here_are_ignored(browser: Browser, asked: str, granted: str) -> None:
    given = browser.exchange(browser.agree(scope=asked)).json()
    assert given["scope"] == granted
    again = browser.token(grant_type="refresh_token", refresh_token=given["refresh_token"], scope=asked)
    assert again.json()["scope"] == granted


def test_a_client_for_itself_has_no_scopes_of_a_user(browser: Browser) -> None:
    given = browser.token(grant_type="client_credentials", scope="openid offline_access chat").json()
    assert given["scope"] == "chat"


@pytest.mark.parametrize("asked", ["offline_access", " ", "openid", "CHAT"])
def test_of_scopes_one_at_least_must_exist(browser: Browser, asked: str) -> None:
    assert browser.token(grant_type="client_credentials", scope=asked).json()["error"] == "invalid_scope"


def test_a_wrong_password_shows_the_page_again(logins: Logins, browser: Browser) -> None:
    page = browser.decide(browser.open(), password="wrong horse battery")
    assert page.status_code == 401
    assert "Email or password is wrong" in page.text
    assert "wrong horse" not in page.text
    unknown = browser.decide(page, email="unknown@acme.example")
    assert unknown.status_code == 401
    assert "code" in read_answer(browser.decide(unknown))
    assert len(logins.audited("auth.refuse")) == 2


def test_blanks_around_the_email_make_no_difference(logins: Logins, browser: Browser) -> None:
    assert "code" in read_answer(browser.decide(browser.open(), email=f" {logins.admin.email.upper()} "))


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
    """Another site can send a form, but it has neither the cookie nor the form token that belongs to the cookie."""
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
    logins.deployment.clock.advance(600)
    again = browser.decide(page)
    assert (again.status_code, "open for too long" in again.text) == (401, True)
    assert "code" in read_answer(browser.decide(again))


def test_a_user_of_another_tenant_is_unknown(deployment: Deployment, logins: Logins, browser: Browser) -> None:
    other = open_logins(deployment, "other")
    assert browser.decide(browser.open(), email=other.admin.email).status_code == 401


def test_a_client_without_the_grant(logins: Logins) -> None:
    browser = Browser(logins, make_client(logins, grant_types=["client_credentials"]))
    page = browser.open()
    assert (page.status_code, "(unauthorized_client)" in page.text) == (400, True)


@pytest.mark.parametrize("body", [b"\xff", b"a=b&" * 60, b"{}"])
def test_a_form_that_cannot_be_read(browser: Browser, body: bytes) -> None:
    headers = {"content-type": "application/json" if body == b"{}" else "application/x-www-form-urlencoded"}
    assert browser.client.post("/oauth/authorize", content=body, headers=headers).status_code == 400


def test_on_https_only_a_cookie_that_no_other_host_can_set_proves_a_form(browser: Browser) -> None:
    page = browser.open()
    name, _, value = page.headers["set-cookie"].partition(";")[0].partition("=")
    assert name == "__Host-atrium_consent"
    assert all(part in page.headers["set-cookie"] for part in ("Secure", "Path=/", "HttpOnly", "SameSite=strict"))
    assert "Domain" not in page.headers["set-cookie"]
    browser.client.cookies.clear()
    browser.client.cookies.set("atrium_consent", value)
    assert browser.decide(page).status_code == 401
    page = browser.open()
    assert browser.decide(page).status_code == 303
