"""A house for every test of a store or a service: two tenants with their agents, on an empty table."""

from collections.abc import Iterator

import pytest
from atrium.storage.table import PhysicalTable

from tests.builders.house import House, open_house


@pytest.fixture
def house(request: pytest.FixtureRequest, physical_table: PhysicalTable) -> Iterator[House]:
    with open_house(physical_table, on_moto=request.config.getoption("--dynamodb") == "moto") as opened:
        yield opened
