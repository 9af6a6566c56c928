"""The consent page in a real browser, from a client's authorization link to the client's redirect URI."""

import base64
import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from playwright.sync_api import Page

from tests.e2e.browsing import open_page, serving
from tests.e2e.conftest import Stack, Tenant

pytestmark = pytest.mark.slow

_PAGE = b"<!doctype html><title>the program</title><p>You are back.</p>"


@dataclass
class Program:
    """A public client, and the PKCE verifier and state that it stores until the browser is redirected."""

    stack: Stack
    client_id: str
    callback: str
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(40))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(9))

    @property
    def link(self) -> str:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code", "client_id": self.client_id, "redirect_uri": self.callback, "scope": "chat",
            "state": self.state, "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{self.stack.base_url}/oauth/authorize?{urlencode(asked)}"

    def returned(self, url: str) -> dict[str, str]:
        assert url.startswith(self.callback)
        found = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert (found.pop("state"), found.pop("iss")) == (self.state, self.stack.base_url)
        return found

    def redeem(self, code: str) -> httpx.Response:
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.callback,
            "client_id": self.client_id, "code_verifier": self.verifier,
        }  # fmt: skip
        return httpx.post(f"{self.stack.base_url}/oauth/token", data=form, timeout=300)


@pytest.fixture(params=["127.0.0.1", "::1"])
def program(request: pytest.FixtureRequest, stack: Stack, pro: Tenant) -> Iterator[Program]:
    """A program on a loopback address. Its redirect URI is registered without the port that the program uses."""
    with serving(_PAGE, request.param) as origin:
        body = {
            "name": "Notes <b>& Co</b>", "type": "public", "grant_types": ["authorization_code"],
            "redirect_uris": [f"{origin.rpartition(':')[0]}/back"], "scopes": ["chat"],
        }  # fmt: skip
        made = pro.http.post("/v1/clients", json=body)
        assert made.status_code == 201, made.text
        yield Program(stack, made.json()["client_id"], f"{origin}/back")


@pytest.fixture
def page() -> Iterator[Page]:
    """An empty page. An error in the browser's console fails the test, except for failed requests."""
    with open_page() as opened:
        complaints: list[str] = []
        opened.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        yield opened
        assert [said for said in complaints if not said.startswith("Failed to load resource")] == []


def test_a_user_logs_in_and_allows(stack: Stack, pro: Tenant, program: Program, page: Page) -> None:
    person = next(each for each in stack.description["tenants"] if each["id"] == pro.id)["admin"]
    page.goto(program.link)
    assert page.locator("h1").inner_text() == "Notes <b>& Co</b> wants to act for you"
    assert page.locator("li").all_inner_texts() == ["send messages to agents, at your tenant's cost"]

    page.get_by_label("Email").fill(person["email"])
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in and allow").click()
    page.get_by_role("alert").wait_for()
    assert page.get_by_label("Email").input_value() == person["email"]
    assert page.get_by_label("Password").input_value() == ""

    page.get_by_label("Password").fill(person["password"])
    page.get_by_role("button", name="Log in and allow").click()
    page.get_by_text("You are back.").wait_for()
    redeemed = program.redeem(program.returned(page.url)["code"])
    assert (redeemed.status_code, redeemed.json()["scope"]) == (200, "chat")
    own = {"authorization": f"Bearer {redeemed.json()['access_token']}"}
    me = httpx.get(f"{stack.base_url}/v1/auth/me", headers=own, timeout=300).json()
    assert (me["tenant"]["id"], me["scopes"]) == (pro.id, ["chat"])


def test_a_user_denies(program: Program, page: Page) -> None:
    page.goto(program.link)
    page.get_by_role("button", name="Deny").click()
    page.get_by_text("You are back.").wait_for()
    found = program.returned(page.url)
    assert found["error"] == "access_denied"
    assert "code" not in found


def test_a_changed_link_does_not_redirect(program: Program, page: Page) -> None:
    page.goto(program.link.replace("%2Fback", "%2Felsewhere"))
    assert page.locator("h1").inner_text() == "This link does not work"
    assert page.locator("form").count() == 0
