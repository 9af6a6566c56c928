"""Each kind of logout also invalidates tokens that the tenant's issuer issued earlier."""

from typing import Literal, get_args

import pytest

from functions.admin.app import build as build_admin
from functions.authorizer import verdict
from functions.identity.app import build as build_identity
from functions.platform.app import build as build_platform
from tests.builders.gateway import call_as, platform_fields, tenant_fields
from tests.integration.foreign_tokens.conftest import Trusting
from tests.integration.foreign_tokens.test_401 import refuse

pytestmark = pytest.mark.loopback


type By = Literal["operator", "administrator", "user"]


def log_out(trusting: Trusting, by: By) -> None:
    """Log out all users of the tenant (operator), or its first administrator."""
    runtime, tenant = trusting.deployment.runtime, trusting.made.tenant
    assert trusting.made.admin
    user_id = trusting.made.admin.id
    match by:
        case "operator":
            answer = call_as(build_platform(lambda: runtime), platform_fields()).post(f"/v1/tenants/{tenant.id}/logout")
        case "administrator":
            admin = call_as(build_admin(lambda: runtime), tenant_fields(tenant_id=tenant.id, scopes="admin"))
            answer = admin.post(f"/v1/users/{user_id}/logout")
        case "user":
            fields = tenant_fields(tenant_id=tenant.id, principal_type="user", principal_id=user_id, login="fam_1")
            answer = call_as(build_identity(lambda: runtime), fields).post("/v1/auth/logout", json={"all": True})
    assert answer.status_code == 204, answer.text


EVERYONE = pytest.mark.parametrize("by", get_args(By.__value__))


@EVERYONE
def test_rejects_earlier_tokens_and_accepts_new_ones(trusting: Trusting, by: By) -> None:
    trusting.trust()
    old = trusting.token()
    trusting.context()
    trusting.deployment.clock.advance(1)
    log_out(trusting, by)
    trusting.deployment.clock.advance(verdict.KEPT_SECONDS)
    assert refuse(trusting, old) == ["the token was issued before a logout"]
    trusting.context()


@EVERYONE
def test_rejects_a_token_of_the_same_second(trusting: Trusting, by: By) -> None:
    trusting.trust()
    trusting.context()
    log_out(trusting, by)
    token = trusting.token(jti="another")
    assert refuse(trusting, token) == ["the token was issued before a logout"]


@pytest.mark.parametrize("by", ["administrator", "user"])
def test_keeps_another_users_token(trusting: Trusting, by: By) -> None:
    trusting.trust(provision_users=True)
    theirs = {"sub": "bob", "email": "bob@acme.example"}
    trusting.context()
    trusting.context(**theirs)
    log_out(trusting, by)
    trusting.deployment.clock.advance(verdict.KEPT_SECONDS)
    now = int(trusting.deployment.clock().timestamp())
    trusting.context(**theirs, iat=now - 100)
