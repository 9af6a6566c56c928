"""Successful calls of OAuth clients: codes, tokens, identity, revocation, introspection and metadata."""

from dataclasses import replace
from urllib.parse import urlencode

import jwt
import pytest
from atrium.identity.clients.store import ClientStore
from atrium.identity.tokens import name_issuer

from functions.authorizer import verdict
from tests.builders.authorizing import READ_AND_TOLD, AuthorizerEnv, bearer, expect_401
from tests.builders.logins import Logins
from tests.builders.oauth import CALLBACK, FORM, Browser, basic, make_client, read_answer

ISSUER = "https://example.org"


def context(logins: Logins, token: str) -> dict[str, object]:
    return AuthorizerEnv(logins.deployment).context(bearer(token))


def test_a_client_for_itself(logins: Logins, browser: Browser) -> None:
    answer = browser.token(grant_type="client_credentials")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 900, "chat sessions:read")
    found = context(logins, body["access_token"])
    assert (found["principal_type"], found["principal_id"]) == ("client", browser.issued.client.id)
    assert (found["tenant_id"], found["scopes"]) == (logins.made.tenant.id, "chat sessions:read")
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (ISSUER, ISSUER, browser.issued.client.id)


def test_a_client_for_itself_with_fewer_scopes_and_by_post(browser: Browser) -> None:
    form = {"client_id": browser.issued.client.id, "client_secret": browser.issued.secret}
    answer = browser.token({}, grant_type="client_credentials", scope="chat", resource=ISSUER + "/", **form)
    assert (answer.status_code, answer.json()["scope"]) == (200, "chat")


def test_me_names_the_client(logins: Logins, browser: Browser) -> None:
    token = browser.token(grant_type="client_credentials").json()["access_token"]
    me = logins.client(token).get("/v1/auth/me").json()
    assert me["principal"] == {"type": "client", "id": browser.issued.client.id, "name": "A <client>"}


def test_a_code_for_a_user_who_agreed(logins: Logins, browser: Browser) -> None:
    answer = read_answer(browser.decide(browser.open(nonce="n-1", scope="chat openid email")))
    assert (answer["state"], answer["iss"]) == ("a state & more", ISSUER)
    body = browser.exchange(answer["code"]).json()
    assert body["scope"] == "chat openid email"
    found = context(logins, body["access_token"])
    assert (found["principal_type"], found["principal_id"], found["scopes"]) == ("user", logins.admin.id, "chat")
    keys = browser.client.get("/.well-known/jwks.json").json()["keys"]
    options: jwt.types.Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    identity = jwt.decode(
        body["id_token"], jwt.PyJWK(keys[0]).key, ["ES256"], audience=browser.issued.client.id, issuer=ISSUER,
        options=options,
    )  # fmt: skip
    assert (identity["sub"], identity["nonce"], identity["email"]) == (logins.admin.id, "n-1", logins.admin.email)
    assert identity["auth_time"] == int(logins.deployment.clock().timestamp())
    (event,) = logins.audited("auth.login")
    assert event.details["client_id"] == browser.issued.client.id


def test_a_public_client_refreshes_with_fewer_scopes(logins: Logins) -> None:
    public = make_client(logins, type="public", grant_types=["authorization_code", "refresh_token"])
    browser = Browser(logins, public)
    named = {"client_id": public.client.id}
    code = browser.agree(scope="chat sessions:read")
    first = browser.token({}, **named, grant_type="authorization_code", code=code, redirect_uri=CALLBACK,
                          code_verifier="a-verifier-of-the-tests-that-is-long-enough-for-rfc-7636").json()  # fmt: skip
    narrow = browser.token({}, **named, grant_type="refresh_token", refresh_token=first["refresh_token"], scope="chat")
    assert narrow.json()["scope"] == "chat"
    assert context(logins, narrow.json()["access_token"])["scopes"] == "chat"
    wide = browser.token({}, **named, grant_type="refresh_token", refresh_token=narrow.json()["refresh_token"])
    assert wide.json()["scope"] == "chat sessions:read"


def test_a_user_cannot_grant_more_than_their_role(logins: Logins) -> None:
    issued = make_client(logins, scopes=["admin"])
    browser = Browser(logins, issued)
    body = browser.exchange(browser.agree(scope="admin chat")).json()
    assert body["scope"] == "chat admin"


def test_a_request_without_redirect_uri_goes_to_the_only_one(browser: Browser) -> None:
    code = browser.agree(redirect_uri=None)
    assert browser.exchange(code, redirect_uri="").status_code == 200


def test_denying_tells_the_client(browser: Browser) -> None:
    answer = read_answer(browser.decide(browser.open(), decision="deny"))
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", "a state & more", ISSUER)


def test_revoking_a_refresh_token_ends_the_login(logins: Logins, browser: Browser) -> None:
    body = browser.exchange(browser.agree()).json()
    for _ in range(2):
        answer = browser.client.post(
            "/oauth/revoke",
            content=urlencode({"token": body["refresh_token"]}),
            headers={**FORM, **basic(browser.issued)},
        )
        assert (answer.status_code, answer.content) == (200, b"")
    refused = browser.token(grant_type="refresh_token", refresh_token=body["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    expect_401(AuthorizerEnv(logins.deployment), bearer(body["access_token"]), calls=READ_AND_TOLD)


@pytest.mark.parametrize("of_user", [True, False])
def test_revoking_an_access_token(logins: Logins, browser: Browser, of_user: bool) -> None:
    granted = browser.exchange(browser.agree()) if of_user else browser.token(grant_type="client_credentials")
    token, authorizer_env = granted.json()["access_token"], AuthorizerEnv(logins.deployment)
    authorizer_env.context(bearer(token))
    headers = {**FORM, **basic(browser.issued)}
    assert browser.client.post("/oauth/revoke", content=urlencode({"token": token}), headers=headers).status_code == 200
    logins.deployment.clock.advance(verdict.KEPT_SECONDS)
    expect_401(authorizer_env, bearer(token), calls=READ_AND_TOLD)
    answer = browser.client.post("/oauth/introspect", content=urlencode({"token": token}), headers=headers)
    assert answer.json() == {"active": False}


def test_introspection(logins: Logins, browser: Browser) -> None:
    body = browser.exchange(browser.agree()).json()
    headers = {**FORM, **basic(browser.issued)}

    def ask(token: str) -> dict[str, object]:
        answer = browser.client.post("/oauth/introspect", content=urlencode({"token": token}), headers=headers)
        assert answer.status_code == 200
        found: dict[str, object] = answer.json()
        return found

    live = ask(body["access_token"])
    assert (live["active"], live["sub"], live["scope"], live["iss"]) == (True, logins.admin.id, "chat", ISSUER)
    assert ask(body["refresh_token"])["token_type"] == "refresh_token"
    for text in ("x", "atr_rt_x", body["access_token"] + "x", "a.b.c", "é"):
        assert ask(text) == {"active": False}


def test_a_scope_that_is_taken_from_a_client_is_taken_from_its_tokens(logins: Logins) -> None:
    browser = Browser(logins, make_client(logins))
    given = browser.exchange(browser.agree(scope="chat sessions:read")).json()
    own = browser.token(grant_type="client_credentials").json()["access_token"]
    store = ClientStore(logins.deployment.runtime.tenant_table(logins.made.tenant.id))
    assert store.replace(browser.issued.client, replace(browser.issued.client, scopes=("sessions:read",)), [])
    again = browser.token(grant_type="refresh_token", refresh_token=given["refresh_token"]).json()
    for token in (given["access_token"], own, again["access_token"]):
        assert context(logins, token)["scopes"] == "sessions:read"


def test_deleting_a_client_ends_what_it_was_given(logins: Logins, browser: Browser) -> None:
    own = browser.token(grant_type="client_credentials").json()["access_token"]
    body = browser.exchange(browser.agree()).json()
    ClientStore(logins.deployment.runtime.tenant_table(logins.made.tenant.id)).delete(browser.issued.client.id, [])
    for token in (own, body["access_token"]):
        expect_401(AuthorizerEnv(logins.deployment), bearer(token), calls=READ_AND_TOLD)
    assert browser.token(grant_type="refresh_token", refresh_token=body["refresh_token"]).status_code == 401


def test_metadata_matches_the_endpoints(logins: Logins, browser: Browser) -> None:
    client = browser.client
    server = client.get("/.well-known/oauth-authorization-server").json()
    assert client.get("/.well-known/openid-configuration").json() == server
    assert server["issuer"] == ISSUER == name_issuer(logins.deployment.runtime.settings)
    assert server["code_challenge_methods_supported"] == ["S256"]
    assert "password" not in server["grant_types_supported"]
    resource = client.get("/.well-known/oauth-protected-resource").json()
    assert (resource["resource"], resource["authorization_servers"]) == (ISSUER, [ISSUER])


def test_the_page_is_html_that_no_name_can_break(browser: Browser) -> None:
    page = browser.open(state='"><script>alert(1)</script>')
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "A &lt;client&gt; wants to act for you" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' https://client.example;" in policy
    assert "unsafe" not in policy
    cookie = page.headers["set-cookie"]
    assert {"HttpOnly", "Secure", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}
    assert page.headers["cache-control"] == "no-store"
