"""The marker of a name may point to another tenant after an interrupted call. The name then belongs to that tenant."""

import pytest
from atrium.kernel.errors import NotFound
from atrium.tenants.model import Tenant
from atrium.tenants.registry import TenantRegistry

from tests.builders.deployments import Deployment
from tests.integration.tenants.test_names import create


def give_away(deployment: Deployment, name: str, tenant: Tenant) -> TenantRegistry:
    """Change a name's marker so that it points to another tenant, as after an interrupted call."""
    registry = TenantRegistry(deployment.runtime.platform_table)
    marker = registry.find(name)
    assert marker is not None
    assert registry.claim(name, tenant.id, replacing=marker)
    return registry


@pytest.mark.parametrize("what", ["rename", "delete"])
def test_a_marker_that_is_anothers_is_not_released(deployment: Deployment, what: str) -> None:
    tenant, other = create(deployment, "acme"), create(deployment, "other")
    registry = give_away(deployment, "acme", other)
    if what == "rename":
        deployment.tenants.change(tenant.id, {"name": "globex"})
    else:
        deployment.tenants.delete(tenant.id)
    marker = registry.find("acme")
    assert marker is not None
    assert marker.tenant_id == other.id


@pytest.mark.parametrize("text", ["", "acme", "usr_01k6r5m2x8f3v9q4w7t1y0z5ab"])
def test_malformed_tenant_ids(deployment: Deployment, text: str) -> None:
    for ask in (deployment.tenants.get, deployment.tenants.delete):
        with pytest.raises(NotFound):
            ask(text)
