"""External identities are linked to users by verified email. An old token does not create a deleted user again."""

import pytest
from atrium.identity.users.service import UserService
from atrium.identity.users.store import UserStore
from atrium.tenants.auditing import audit_of

from tests.builders.authorizing import bearer
from tests.builders.logins import ORIGIN
from tests.integration.foreign_tokens.conftest import Trusting

pytestmark = pytest.mark.loopback
NOT_VERIFIED: list[object] = [None, False, "false", "", 1, "yes", [True]]


def users(trusting: Trusting) -> UserService:
    deployment, tenant = trusting.deployment, trusting.made.tenant
    table, runtime = deployment.runtime.tenant_table(tenant.id), deployment.runtime
    audit = audit_of(tenant, table, ORIGIN, deployment.clock)
    return UserService(
        UserStore(table), audit, "dev", runtime.secrets.peppers("one_time_token").current, deployment.clock
    )


@pytest.mark.parametrize("verified", NOT_VERIFIED)
@pytest.mark.parametrize("email", ["admin@acme.example", "new@acme.example"])
def test_an_unverified_email_links_and_creates_no_user(trusting: Trusting, verified: object, email: str) -> None:
    trusting.trust()
    token = trusting.token(email_verified=verified, email=email)
    assert trusting.authorizer_env.code(bearer(token)) == "FORBIDDEN"


def test_accepts_emails_of_a_provider_trusted_to_verify(trusting: Trusting) -> None:
    trusting.trust(assume_email_verified=True)
    assert trusting.context(email_verified=None)["role"] == "admin"
    refused = trusting.token(email_verified=False, sub="another", email="new@acme.example")
    assert trusting.authorizer_env.code(bearer(refused)) == "FORBIDDEN"


@pytest.mark.parametrize("has_come", [True, False])
def test_a_deleted_user_does_not_return_with_an_old_token(trusting: Trusting, has_come: bool) -> None:
    trusting.trust()
    made = users(trusting).create({"email": "ann@acme.example", "role": "user"}).user
    claims = {"sub": "ann", "email": "ann@acme.example"}
    old = trusting.token(**claims)
    if has_come:
        assert trusting.authorizer_env.context(bearer(old))["principal_id"] == made.id
    users(trusting).delete(made.id, revoke_keys=False)
    trusting.deployment.clock.advance(31)  # the authorizer's cached decision has expired
    assert trusting.authorizer_env.code(bearer(old)) == "FORBIDDEN"
    assert users(trusting).store.find("ann@acme.example") is None
    new = trusting.context(**claims)["principal_id"]
    assert new != made.id
