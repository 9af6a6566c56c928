"""An empty set of scopes grants no permission, for every source of scopes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from atrium.identity.families.model import TokenFamily
from atrium.identity.oauth.codes import digest_code
from atrium.identity.scopes import TENANT_SCOPES
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.writes import EXISTS, Update
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.builders.deployments import Deployment
from tests.builders.logins import Logins, open_logins
from tests.builders.oauth import Browser, make_client, read_answer

CONSENTED = st.frozensets(st.sampled_from(TENANT_SCOPES))


@pytest.fixture
def logins(deployment: Deployment) -> Logins:
    return open_logins(deployment)


def empty(logins: Logins, key: Key) -> None:
    """Remove all scopes from an item directly in the table. No API call can do this."""
    table = logins.deployment.runtime.tenant_table(logins.made.tenant.id)
    table.write(Update(key, "SET #scopes = :none", EXISTS, {"none": []}))


def scopes_of(logins: Logins, text: str) -> str:
    return str(AuthorizerEnv(logins.deployment).context(bearer(text))["scopes"])


def make_viewer(logins: Logins) -> None:
    """Change the role of the tenant's admin to viewer, without the check that one admin remains."""
    table = logins.deployment.runtime.tenant_table(logins.made.tenant.id)
    table.write(Update(keys.user(logins.admin.id), "SET #role = :role", EXISTS, {"role": "viewer"}))


def test_a_consent_to_what_the_role_lacks_is_refused(logins: Logins) -> None:
    make_viewer(logins)
    browser = Browser(logins, make_client(logins))
    answer = read_answer(browser.decide(browser.open(scope="chat")))
    assert answer["error"] == "access_denied"
    assert "code" not in answer
    assert read_answer(browser.decide(browser.open(scope="chat sessions:read")))["code"]


@pytest.mark.parametrize("scope", ["sessions:read agents:read usage:read", "chat", "admin", " "])
def test_a_login_without_scopes_is_refreshed_to_none(logins: Logins, scope: str) -> None:
    issued = make_client(logins)
    browser, tokens = Browser(logins, issued), logins.begin(scopes=frozenset(), client_id=issued.client.id)
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
    answer = browser.token(**form, scope=scope)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    again = browser.token(**form).json()
    assert again["scope"] == ""
    assert scopes_of(logins, again["access_token"]) == ""


def of_key(logins: Logins) -> Any:
    made = logins.deployment.make_key(logins.made.tenant.id)
    empty(logins, keys.api_key(made.key.id))
    return made.text


def of_login(logins: Logins) -> Any:
    tokens = logins.begin()
    empty(logins, keys.family(tokens.family.id))
    return logins.client().post("/v1/auth/refresh", json={"refresh_token": tokens.refresh_token}).json()["access_token"]


def of_client(logins: Logins) -> Any:
    issued = make_client(logins)
    empty(logins, keys.client(issued.client.id))
    return Browser(logins, issued).token(grant_type="client_credentials").json().get("access_token")


def of_client_whose_token_names_none(logins: Logins) -> Any:
    client: Any = make_client(logins).client
    return logins.deployment.make_token(replace(logins.admin, id=client.id), client_id=client.id)


def of_code(logins: Logins) -> Any:
    browser = Browser(logins, make_client(logins))
    code = browser.agree(scope="chat")
    empty(logins, keys.oauth("CODE", digest_code(code)))
    return browser.exchange(code).json().get("access_token")


@pytest.mark.parametrize(
    "make", [of_key, of_login, of_client, of_client_whose_token_names_none, of_code], ids=lambda each: each.__name__
)
def test_a_record_without_scopes_grants_none(logins: Logins, make: Callable[[Logins], Any]) -> None:
    text = make(logins)
    assert text is None or scopes_of(logins, text) == ""


@given(consented=CONSENTED, wanted=CONSENTED)
def test_a_refresh_never_adds_a_scope(consented: frozenset[str], wanted: frozenset[str]) -> None:
    made: Any = dict.fromkeys(name for name in TokenFamily.__slots__ if name not in {"scopes", "client_id"})
    family = TokenFamily(**made, scopes=tuple(consented), client_id="cli_1")
    assert family.allows(wanted) == (wanted <= consented)
    assert not replace(family, scopes=None).allows(wanted)
