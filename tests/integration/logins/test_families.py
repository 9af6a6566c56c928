"""A refresh token belongs to one tenant. Its login is current only while the token can be used."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from atrium.identity.families.model import IssuedTokens
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update
from atrium.tenants.model import Tenant

from tests.builders.deployments import Deployment, counting
from tests.builders.logins import ORIGIN, Logins, open_logins


def test_another_tenants_refresh_token_is_no_login_here(deployment: Deployment, logins: Logins) -> None:
    other, issued = open_logins(deployment, "other"), logins.begin()
    here, there = logins.made.tenant, other.made.tenant
    assert logins.families.login_of(issued.refresh_token, here.id) is not None
    assert logins.families.find_current(issued.refresh_token, here) is not None
    with counting(deployment.table) as calls:
        assert logins.families.login_of(issued.refresh_token, there.id) is None
        assert logins.families.find_current(issued.refresh_token, there) is None
    assert calls == []


def use(logins: Logins, issued: IssuedTokens) -> None:
    logins.families.refresh(issued.refresh_token, origin=ORIGIN)


def log_out(logins: Logins, issued: IssuedTokens) -> None:
    assert logins.client(issued.access_token).post("/v1/auth/logout").status_code == 204


def let_expire(logins: Logins, issued: IssuedTokens) -> None:
    family = logins.families.find_current(issued.refresh_token, logins.made.tenant)
    assert family is not None
    logins.deployment.clock.now = family.expires_at


def suspend(logins: Logins, _issued: IssuedTokens) -> None:
    table = logins.deployment.runtime.tenant_table(logins.made.tenant.id)
    table.write(Update(keys.user(logins.admin.id), "SET #status = :status", EXISTS, {"status": "suspended"}))


@pytest.mark.parametrize("end", [use, log_out, let_expire, suspend])
def test_a_token_that_would_be_refused_is_not_current(
    logins: Logins, end: Callable[[Logins, IssuedTokens], None]
) -> None:
    issued = logins.begin()
    assert logins.families.find_current(issued.refresh_token, logins.made.tenant) is not None
    end(logins, issued)
    assert logins.families.find_current(issued.refresh_token, logins.made.tenant) is None


@pytest.mark.parametrize(
    "changed",
    [lambda tenant: replace(tenant, status="suspended"), lambda tenant: replace(tenant, token_version=2)],
    ids=["suspended", "logged out"],
)
def test_no_token_of_such_a_tenant_is_current(logins: Logins, changed: Callable[[Tenant], Tenant]) -> None:
    issued = logins.begin()
    assert logins.families.find_current(issued.refresh_token, changed(logins.made.tenant)) is None
