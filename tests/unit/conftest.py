"""The fixture `tenant_env` for all unit tests: two tenants with their default agents, on an empty table."""

from collections.abc import Iterator

import pytest
from atrium.storage.table import PhysicalTable

from tests.builders.tenant_env import TenantEnv, open_tenant_env


@pytest.fixture
def tenant_env(request: pytest.FixtureRequest, physical_table: PhysicalTable) -> Iterator[TenantEnv]:
    with open_tenant_env(physical_table, on_moto=request.config.getoption("--dynamodb") == "moto") as opened:
        yield opened
