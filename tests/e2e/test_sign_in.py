"""A user signs in with Google and connects GitHub on the running stack, with the local OAuth provider."""

from urllib.parse import parse_qs, urlsplit

import httpx

from tests.e2e.conftest import Stack

BACK = "https://app.acme.example/back"


def register(stack: Stack, name: str) -> None:
    client = {"client_id": "local-client", "client_secret": "local-secret", "redirect_uris": [BACK]}
    body = {"type": name, "provision_users": True, **client}
    answer = stack.tenants["pro"].http.post("/v1/identity-providers", json=body)
    assert answer.status_code in {201, 409}, answer.text
    assert "local-secret" not in answer.text


def consent(url: str) -> dict[str, str]:
    sent_back = httpx.get(url, follow_redirects=False, trust_env=False).headers["location"]
    assert sent_back.startswith(BACK)
    return {name: values[0] for name, values in parse_qs(urlsplit(sent_back).query).items()}


def test_signing_in_and_connecting(stack: Stack) -> None:
    register(stack, "google")
    register(stack, "github")
    with httpx.Client(base_url=stack.base_url, timeout=300, trust_env=False) as browser:
        tenant = stack.tenants["pro"].id
        out = browser.get("/v1/auth/google/authorize", params={"tenant": tenant}, follow_redirects=False)
        assert out.status_code == 302, out.text
        assert out.headers["location"].startswith(stack.description["oauth_provider_url"])
        back = consent(out.headers["location"])
        answer = browser.get("/v1/auth/google/callback", params=back)
        assert answer.status_code == 200, answer.text
        assert browser.get("/v1/auth/google/callback", params=back).json()["code"] == "STATE_INVALID"
        browser.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
        me = browser.get("/v1/auth/me").json()
        assert (me["principal"]["type"], me["tenant"]["id"], me["role"]) == ("user", tenant, "user")
        out = browser.get("/v1/connections/github/authorize")
        assert out.status_code == 200, out.text
        made = browser.get("/v1/connections/github/callback", params=consent(out.json()["authorization_url"]))
        assert made.json()["status"] == "active", made.text
        assert browser.delete("/v1/connections/github").status_code == 204
