"""No record in a tenant's partition can give a tenant's credential the operator's permissions.

Each test changes a record in the table directly, without the checks of our stores.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from atrium.identity.oauth.codes import digest_code
from atrium.kernel.ids import TenantId
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import BoundTable
from atrium.storage.writes import EXISTS, Update
from atrium.tenants.context import Principal, PrincipalType
from hypothesis import given
from hypothesis import strategies as st

from functions.platform.app import build
from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as
from tests.builders.logins import Logins
from tests.builders.oauth import Browser, make_client

MORE = ["platform", "chat"]


class Partition(BoundTable):
    """A tenant's partition, written without the checks of our stores."""

    def __init__(self, deployment: Deployment, tenant_id: TenantId) -> None:
        super().__init__(deployment.table, f"TENANT#{tenant_id}")

    def set(self, key: Key, **attributes: Any) -> None:
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in attributes)
        self.write(Update(key, expression, EXISTS, attributes))


def make_key(logins: Logins, partition: Partition) -> str:
    made = logins.deployment.make_key(logins.made.tenant.id)
    partition.set(keys.api_key(made.key.id), scopes=MORE)
    return made.text


def make_client_token(logins: Logins, partition: Partition) -> str:
    issued = make_client(logins)
    partition.set(keys.client(issued.client.id), scopes=MORE)
    return str(Browser(logins, issued).token(grant_type="client_credentials").json()["access_token"])


def make_platform_token(logins: Logins, partition: Partition) -> str:
    """Change the scopes of a client record directly in the table. Return a token of the client with these scopes."""
    issued = make_client(logins)
    partition.set(keys.client(issued.client.id), scopes=MORE)
    subject: Any = replace(logins.admin, id=issued.client.id)  # type: ignore[arg-type] # a client acts for itself
    return logins.deployment.make_token(subject, client_id=issued.client.id, scopes=frozenset(MORE))


def make_login(logins: Logins, partition: Partition) -> str:
    tokens = logins.begin()
    partition.set(keys.family(tokens.family.id), scopes=MORE)
    answer = logins.client().post("/v1/auth/refresh", json={"refresh_token": tokens.refresh_token})
    return str(answer.json()["access_token"])


def make_login_of_client(logins: Logins, partition: Partition) -> str:
    issued = make_client(logins)
    tokens = logins.begin()
    partition.set(keys.family(tokens.family.id), scopes=MORE, client_id=issued.client.id)
    partition.set(keys.client(issued.client.id), scopes=MORE)
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
    return str(Browser(logins, issued).token(**form).json()["access_token"])


def make_code(logins: Logins, partition: Partition) -> str:
    browser = Browser(logins, make_client(logins))
    code = browser.agree(scope="chat")
    partition.set(keys.oauth("CODE", digest_code(code)), scopes=MORE)
    return str(browser.exchange(code).json()["access_token"])


def make_user(logins: Logins, partition: Partition) -> str:
    partition.set(keys.user(logins.admin.id), role="platform")
    return logins.deployment.make_token(logins.admin)


CREDENTIALS: list[Callable[[Logins, Partition], str]] = [
    make_key, make_client_token, make_platform_token, make_login, make_login_of_client, make_code, make_user,
]  # fmt: skip


@pytest.mark.parametrize("make", CREDENTIALS, ids=lambda each: each.__name__)
def test_a_record_that_claims_the_operators_scope(
    deployment: Deployment, make: Callable[[Logins, Partition], str]
) -> None:
    logins, other = Logins(deployment, deployment.onboard()), deployment.onboard("other")
    text = make(logins, Partition(deployment, logins.made.tenant.id))
    fields = AuthorizerEnv(deployment).context(bearer(text))
    assert fields["tenant_id"] == logins.made.tenant.id
    assert "platform" not in {*str(fields["scopes"]).split(), fields["principal_type"], fields["role"]}
    client = call_as(build(lambda: deployment.runtime), fields)
    for method, path in (("GET", "/v1/tenants"), ("GET", f"/v1/tenants/{other.tenant.id}"),
                         ("POST", f"/v1/tenants/{other.tenant.id}/logout")):  # fmt: skip
        assert client.request(method, path).status_code == 403


@given(
    kind=st.sampled_from(["user", "key", "client"]),
    scopes=st.frozensets(st.sampled_from(["platform", "admin", "chat", "unknown"])),
    role=st.sampled_from([None, "admin", "platform", "owner"]),
)
def test_no_principal_of_a_tenant_is_an_operator(kind: PrincipalType, scopes: frozenset[str], role: Any) -> None:
    principal = Principal(kind, "id", "name", scopes, role)
    assert not principal.has("platform")
    assert principal.scopes == scopes - {"platform"}
    assert principal.role in {None, "admin"}
