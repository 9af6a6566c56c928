"""A caller without a credential cannot fill a tenant's audit on any route."""

import re
from collections.abc import Callable
from pathlib import Path

import atrium
import pytest
from atrium.audit.bound import OF_TENANT_MAX
from atrium.identity.users.one_time_token import mint_one_time_token
from atrium.kernel.ids import mint_user_id

from tests.builders.deployments import Deployment
from tests.builders.login_env import LoginEnv
from tests.builders.logins import Logins
from tests.builders.oauth import FORM, Browser, basic, make_client

TIMES = 70
ONCE = re.compile(r'\.record\(\s*"auth\.refuse"')
# Modules that may record refusals without a limit of their own: the routes of connections require a credential, and the
# audit service applies the same limit as the authorizer.
KNOWN = {"identity/connections/service.py", "audit/service.py"}

type Try = Callable[[int], object]


def with_wrong_secret(path: str) -> Callable[[LoginEnv, Logins], Try]:
    def prepare(login_env: LoginEnv, logins: Logins) -> Try:
        browser = Browser(logins, make_client(logins))
        proof = basic(browser.issued, "atr_cs_wrong")
        form = "grant_type=client_credentials&token=x"
        return lambda _: browser.client.post(path, content=form, headers={**FORM, **proof})

    return prepare


def with_code_that_is_over(login_env: LoginEnv, logins: Logins) -> Try:
    public = make_client(logins, type="public", grant_types=["authorization_code"])
    browser = Browser(logins, public)
    code = browser.agree()
    logins.deployment.clock.advance(301)
    form = {"client_id": public.client.id, "grant_type": "authorization_code", "code": code}
    return lambda _: browser.token({}, **form, redirect_uri="https://client.example/callback", code_verifier="v" * 43)


def with_refresh_token_that_ended(login_env: LoginEnv, logins: Logins) -> Try:
    tokens, client = logins.begin(), logins.client()
    client.post("/v1/auth/refresh", json={"refresh_token": tokens.refresh_token})
    client.post("/v1/auth/refresh", json={"refresh_token": tokens.refresh_token})
    return lambda _: client.post("/v1/auth/refresh", json={"refresh_token": tokens.refresh_token})


def with_invented_one_time_token(login_env: LoginEnv, logins: Logins) -> Try:
    pepper, tenant_id = login_env.deployment.runtime.secrets.peppers("one_time_token").current(), logins.made.tenant.id
    now, client = login_env.deployment.clock(), login_env.client

    def attempt(number: int) -> object:
        text, _ = mint_one_time_token(
            "dev", pepper, user_id=mint_user_id(now), tenant_id=tenant_id, purpose="reset", now=now
        )
        body = {"token": text, "password": "a long password"}
        return client(ip=f"192.0.2.{number}").post("/v1/auth/invitations/accept", json=body)

    return attempt


def with_passwords(login_env: LoginEnv, logins: Logins) -> Try:
    return lambda at: login_env.log_in(f"{at}@b.example", "wrong password", tenant="acme", ip=f"192.0.2.{at}")


WAYS: list[Callable[[LoginEnv, Logins], Try]] = [
    with_wrong_secret("/oauth/token"), with_wrong_secret("/oauth/revoke"), with_wrong_secret("/oauth/introspect"),
    with_code_that_is_over, with_refresh_token_that_ended, with_invented_one_time_token, with_passwords,
]  # fmt: skip


@pytest.mark.parametrize("prepare", WAYS)
def test_a_flood_of_refusals(deployment: Deployment, prepare: Callable[[LoginEnv, Logins], Try]) -> None:
    made = deployment.onboard()
    login_env, logins = LoginEnv(deployment, made), Logins(deployment, made)
    attempt = prepare(login_env, logins)
    deployment.clock.advance(60)
    before = len(logins.audited("auth.refuse"))
    for number in range(TIMES):
        attempt(number)
    found = len(logins.audited("auth.refuse")) - before
    assert 1 <= found <= (OF_TENANT_MAX if prepare in {with_invented_one_time_token, with_passwords} else 1)


def test_no_code_records_a_refusal_without_a_bound() -> None:
    root = Path(atrium.__file__).parent
    found = {
        str(each.relative_to(root)) for each in root.rglob("*.py") if ONCE.search(each.read_text(encoding="utf-8"))
    }
    assert found == KNOWN
