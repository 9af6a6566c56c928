"""Views of one table: the view of one tenant, and the views of another tenant and the platform."""

import pytest
from atrium.kernel.ids import TenantId
from atrium.storage.table import BoundTable, PhysicalTable, PlatformTable, TenantTable

from tests.builders.gateway import OTHER_TENANT_ID, TENANT_ID


@pytest.fixture
def table(physical_table: PhysicalTable) -> TenantTable:
    return TenantTable(physical_table, TenantId(TENANT_ID))


@pytest.fixture
def others(physical_table: PhysicalTable) -> list[BoundTable]:
    """Views of the same table for another tenant and for the platform."""
    return [TenantTable(physical_table, TenantId(OTHER_TENANT_ID)), PlatformTable(physical_table)]
