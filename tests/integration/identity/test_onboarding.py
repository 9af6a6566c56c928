"""Creation of a tenant in one call: the created items, interruptions, and concurrent calls."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from atrium.agent.service import default_agent
from atrium.agent.store import AgentStore
from atrium.identity.keys.store import KeyStore
from atrium.identity.onboarding import FirstAdmin, Onboarded, Onboarding
from atrium.identity.scopes import TENANT_SCOPES
from atrium.identity.users.passwords import verify_password
from atrium.identity.users.store import UserStore
from atrium.kernel.errors import Conflict, NotFound, Unavailable, ValidationFailed
from atrium.kernel.pagination import PageRequest
from atrium.tenants.model import Tenant
from atrium.tenants.plans import PlanName
from atrium.tenants.service import TenantFields

from tests.builders.deployments import PASSWORD, Broken, Deployment, breaking, counting
from tests.builders.refusals import losing_reply


def give_agent(deployment: Deployment) -> Callable[[Tenant], None]:
    """Return a function that creates the default agent if the tenant has no agent, as the platform function does."""

    def prepare(tenant: Tenant) -> None:
        if tenant.default_agent_id is None:
            store = AgentStore(deployment.runtime.tenant_table(tenant.id))
            store.create(default_agent(deployment.clock), make_default=True)

    return prepare


def onboarding_of(deployment: Deployment, prepare: Callable[[Tenant], None] | None = None) -> Onboarding:
    runtime = deployment.runtime
    return Onboarding(
        deployment.tenants,
        runtime.tenant_table,
        runtime.settings.environment,
        runtime.secrets.peppers("api_key").current,
        prepare or give_agent(deployment),
        deployment.clock,
    )


def onboard(
    deployment: Deployment, name: str, plan: PlanName = "pro", prepare: Callable[[Tenant], None] | None = None
) -> Onboarded:
    """Create a tenant with an admin in one call, as the operator does."""
    admin = FirstAdmin(f"admin@{name}.example", PASSWORD)
    onboarding = onboarding_of(deployment, prepare)
    return onboarding.create(TenantFields(name, plan), admin, created_by="key_of_the_platform")


def test_creates_a_usable_tenant(deployment: Deployment) -> None:
    made = onboard(deployment, "Acme")
    assert made.admin
    assert made.key
    table = deployment.runtime.tenant_table(made.tenant.id)
    user = UserStore(table).find("ADMIN@acme.example")
    assert user == made.admin
    assert (user.role, user.status) == ("admin", "active")
    assert verify_password(PASSWORD, user.password_hash)
    assert KeyStore(table).list(PageRequest()).items == [made.key.key]
    assert made.key.key.scopes == TENANT_SCOPES
    assert made.key.key.created_by == "key_of_the_platform"
    tenant = deployment.tenants.get(made.tenant.id)
    assert tenant == made.tenant
    assert tenant.default_agent_id
    assert (tenant.name, tenant.display_name, tenant.is_active) == ("Acme", "Acme", True)


def test_a_tenant_without_an_admin_has_no_credential(deployment: Deployment) -> None:
    made = onboarding_of(deployment).create(TenantFields("acme", "free"), None, created_by="x")
    assert (made.admin, made.key) == (None, None)
    assert KeyStore(deployment.runtime.tenant_table(made.tenant.id)).list(PageRequest()).items == []


def _count_writes(deployment: Deployment) -> int:
    with counting(deployment.table) as calls:
        onboard(deployment, "measured")
    return sum(call not in {"GetItem", "BatchGetItem", "Query"} for call in calls)


def test_repeating_completes_an_interrupted_creation(deployment: Deployment) -> None:
    writes = _count_writes(deployment)
    assert writes == 4
    for write in range(writes):
        name = f"acme-{write}"
        deployment.clock.advance(1)
        before = [tenant.name for tenant in deployment.tenants.list(PageRequest()).items]
        with breaking(deployment.table, write), pytest.raises(Broken):
            onboard(deployment, name)
        assert [tenant.name for tenant in deployment.tenants.list(PageRequest()).items] == before
        made = onboard(deployment, name)
        assert made.tenant.default_agent_id
        assert [tenant.id for tenant in deployment.tenants.list(PageRequest()).items][-1] == made.tenant.id
        table = deployment.runtime.tenant_table(made.tenant.id)
        assert len(KeyStore(table).list(PageRequest()).items) == 1
        assert len(AgentStore(table).list(PageRequest()).items) == 1
        with pytest.raises(Conflict):
            onboard(deployment, name)


def test_a_tenant_is_not_visible_during_its_creation(deployment: Deployment) -> None:
    opened = deployment.tenants.open(TenantFields("acme", "pro"))
    assert deployment.tenants.list(PageRequest()).items == []
    for act in (
        lambda: deployment.tenants.get(opened.id),
        lambda: deployment.tenants.change(opened.id, {"plan": "free"}),
        lambda: deployment.tenants.set_status(opened.id, "suspended", ""),
        lambda: deployment.tenants.delete(opened.id),
    ):
        with pytest.raises(NotFound):
            act()


def test_of_two_concurrent_calls_the_later_wins(deployment: Deployment) -> None:
    second: list[str] = []

    def overtake(_: Tenant) -> None:
        second.append(onboard(deployment, "acme", "free").tenant.id)

    with pytest.raises(Conflict):
        onboard(deployment, "acme", "pro", overtake)
    (tenant,) = deployment.tenants.list(PageRequest()).items
    assert (tenant.id, tenant.plan) == (second[0], "free")
    assert len(KeyStore(deployment.runtime.tenant_table(tenant.id)).list(PageRequest()).items) == 1


@pytest.mark.parametrize("password", ["short", "p" * 129, "admin@acme.example"])
def test_a_bad_password_makes_nothing(deployment: Deployment, password: str) -> None:
    admin, onboarding = FirstAdmin("admin@acme.example", password), onboarding_of(deployment)
    with counting(deployment.table) as calls, pytest.raises(ValidationFailed) as caught:
        onboarding.create(TenantFields("acme", "pro"), admin, created_by="x")
    assert calls == []
    assert str(caught.value.extensions["errors"]).count("password") == 1


def test_bad_settings_make_nothing(deployment: Deployment) -> None:
    fields, onboarding = replace(TenantFields("acme", "pro"), settings={"features": [1]}), onboarding_of(deployment)
    with counting(deployment.table) as calls, pytest.raises(ValidationFailed):
        onboarding.create(fields, None, created_by="x")
    assert calls == []


@pytest.mark.parametrize("operation", ["GetItem", "TransactWriteItems", "UpdateItem"])
def test_a_lost_reply_keeps_the_name_usable(deployment: Deployment, operation: str) -> None:
    with losing_reply(deployment.table, operation) as lost:
        with pytest.raises(Unavailable):
            onboard(deployment, "acme")
        made = onboard(deployment, "acme")
    assert lost == [operation]
    assert deployment.tenants.get(made.tenant.id) == made.tenant
