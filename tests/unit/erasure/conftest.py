"""Fixtures of the erasure tests: two tenants that were registered three days ago."""

from datetime import timedelta

import pytest
from atrium.kernel.clock import format_time
from atrium.storage.table import PlatformTable
from atrium.tenants.registry import TenantRegistry

from tests.builders.erasing import Erasing
from tests.builders.shapes import put_shapes
from tests.builders.tenant_env import OTHER_TENANT, TENANT, TenantEnv


@pytest.fixture
def erasing(tenant_env: TenantEnv) -> Erasing:
    created = tenant_env.clock() - timedelta(days=3)
    for tenant in (TENANT, OTHER_TENANT):
        tenant_env.configure(
            tenant, name=f"name of {tenant}", display_name="Acme", status="active", metadata="{}", token_version=1,
            created_at=format_time(created), updated_at=format_time(created),
        )  # fmt: skip
        registry = TenantRegistry(PlatformTable(tenant_env.physical))
        registry.claim(f"second name of {tenant}", tenant, replacing=None, registered_at=created)
    return Erasing(tenant_env.physical, tenant_env.bucket, tenant_env.clock)


@pytest.fixture
def shaped(erasing: Erasing) -> Erasing:
    """Two tenants, each with an item of every type."""
    for tenant in (TENANT, OTHER_TENANT):
        put_shapes(erasing.physical, tenant)
    return erasing
