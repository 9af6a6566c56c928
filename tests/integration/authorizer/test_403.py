"""Valid credentials that are denied. The response contains only the error code."""

import pytest
from atrium.kernel.ids import mint_tenant_id
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update

from functions.authorizer import verdict
from tests.builders.authorizing import READ_AND_TOLD, AuthorizerEnv, bearer
from tests.builders.deployments import Deployment, counting


def test_denies_a_suspended_tenant_until_it_is_active(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    assert made.admin
    credentials = [bearer(made.key.text), bearer(deployment.make_token(made.admin))]
    for headers in credentials:
        authorizer_env.context(headers)
    deployment.tenants.set_status(made.tenant.id, "suspended", "unpaid")
    deployment.clock.advance(verdict.KEPT_SECONDS)
    for headers in credentials:
        assert authorizer_env.code(headers) == "TENANT_INACTIVE"
    deployment.tenants.set_status(made.tenant.id, "active", "")
    deployment.clock.advance(verdict.KEPT_SECONDS)
    for headers in credentials:
        authorizer_env.context(headers)


def test_denies_a_deleted_tenant(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    deployment.tenants.delete(made.tenant.id)
    assert authorizer_env.code(bearer(made.key.text)) == "TENANT_INACTIVE"


@pytest.mark.parametrize("status", ["suspended", "invited"])
def test_denies_inactive_users(deployment: Deployment, authorizer_env: AuthorizerEnv, status: str) -> None:
    made = deployment.onboard()
    assert made.admin
    write = Update(keys.user(made.admin.id), "SET #status = :status", EXISTS, {"status": status})
    deployment.runtime.tenant_table(made.tenant.id).write(write)
    assert authorizer_env.code(bearer(deployment.make_token(made.admin))) == "USER_SUSPENDED"


def test_denies_a_credential_that_names_another_tenant(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made, other = deployment.onboard(), deployment.onboard("other")
    assert made.key
    assert made.admin
    for headers in (bearer(made.key.text), bearer(deployment.make_token(made.admin))):
        for named in (other.tenant.id, mint_tenant_id(deployment.clock()), "acme", f"{made.tenant.id}#", "*"):
            assert authorizer_env.code({**headers, "X-Tenant-ID": named}) == "TENANT_MISMATCH"
        twice: dict[str, str | list[str]] = {**headers, "X-Tenant-ID": [made.tenant.id, other.tenant.id]}
        assert authorizer_env.code(twice) == "TENANT_MISMATCH"


def test_caches_a_verdict_per_named_tenant(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made, other = deployment.onboard(), deployment.onboard("other")
    assert made.key
    authorizer_env.context(bearer(made.key.text))
    assert authorizer_env.code({**bearer(made.key.text), "X-Tenant-ID": other.tenant.id}) == "TENANT_MISMATCH"
    authorizer_env.context(bearer(made.key.text))
    authorizer_env.context({**bearer(made.key.text), "X-Tenant-ID": made.tenant.id})


def test_denies_a_platform_key_that_names_an_inactive_tenant(
    deployment: Deployment, authorizer_env: AuthorizerEnv
) -> None:
    made, key = deployment.onboard(), deployment.make_platform_key()
    deployment.tenants.set_status(made.tenant.id, "suspended", "")
    for named in (made.tenant.id, mint_tenant_id(deployment.clock()), "acme", "ten_", f"{made.tenant.id},x"):
        assert authorizer_env.code({**bearer(key), "X-Tenant-ID": named}) == "TENANT_INACTIVE"
    authorizer_env.context(bearer(key))


def test_denies_a_tenant_during_its_creation(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made, key = deployment.onboard(), deployment.make_platform_key()
    write = Update(keys.tenant(), "SET #opening = :mark", EXISTS, {"mark": "m"})
    deployment.runtime.tenant_table(made.tenant.id).write(write)
    assert made.key
    assert authorizer_env.code({**bearer(key), "X-Tenant-ID": made.tenant.id}) == "TENANT_INACTIVE"
    assert authorizer_env.code(bearer(made.key.text)) == "TENANT_INACTIVE"


def test_caches_a_denial_of_a_valid_credential(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    deployment.tenants.set_status(made.tenant.id, "suspended", "")
    with counting(deployment.table) as calls:
        for _ in range(5):
            assert authorizer_env.code(bearer(made.key.text)) == "TENANT_INACTIVE"
    assert calls == READ_AND_TOLD


def test_does_not_record_the_use_of_a_denied_key(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    deployment.tenants.set_status(made.tenant.id, "suspended", "")
    with counting(deployment.table) as calls:
        authorizer_env.code(bearer(made.key.text))
    assert "UpdateItem" not in calls
