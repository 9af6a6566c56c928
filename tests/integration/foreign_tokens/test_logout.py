"""A forced logout also invalidates tokens that the tenant's issuer issued earlier."""

import pytest

from functions.admin.app import build as build_admin
from functions.authorizer import verdict
from functions.platform.app import build as build_platform
from tests.builders.gateway import call_as, platform_fields, tenant_fields
from tests.integration.foreign_tokens.conftest import Trusting
from tests.integration.foreign_tokens.test_401 import refuse

pytestmark = pytest.mark.loopback


def log_out(trusting: Trusting, *, everybody: bool) -> None:
    runtime, tenant = trusting.deployment.runtime, trusting.made.tenant
    if everybody:
        answer = call_as(build_platform(lambda: runtime), platform_fields()).post(f"/v1/tenants/{tenant.id}/logout")
    else:
        assert trusting.made.admin
        admin = call_as(build_admin(lambda: runtime), tenant_fields(tenant_id=tenant.id, scopes="admin"))
        answer = admin.post(f"/v1/users/{trusting.made.admin.id}/logout")
    assert answer.status_code == 204, answer.text


@pytest.mark.parametrize("everybody", [True, False])
def test_rejects_earlier_tokens_and_accepts_new_ones(trusting: Trusting, everybody: bool) -> None:
    trusting.trust()
    old = trusting.token()
    trusting.context()
    trusting.deployment.clock.advance(1)
    log_out(trusting, everybody=everybody)
    trusting.deployment.clock.advance(verdict.KEPT_SECONDS)
    assert refuse(trusting, old) == ["the token was issued before a logout"]
    trusting.context()


def test_rejects_a_token_of_the_same_second(trusting: Trusting) -> None:
    trusting.trust()
    trusting.context()
    log_out(trusting, everybody=False)
    token = trusting.token(jti="another")
    assert refuse(trusting, token) == ["the token was issued before a logout"]


def test_keeps_another_users_token(trusting: Trusting) -> None:
    trusting.trust(provision_users=True)
    theirs = {"sub": "bob", "email": "bob@acme.example"}
    trusting.context()
    trusting.context(**theirs)
    log_out(trusting, everybody=False)
    trusting.deployment.clock.advance(verdict.KEPT_SECONDS)
    now = int(trusting.deployment.clock().timestamp())
    trusting.context(**theirs, iat=now - 100)
