"""The usage function on a table with settled and counted calls."""

from dataclasses import dataclass

import pytest
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.usage.model import Arrival, LedgerEntry
from atrium.usage.service import UsageCounter
from atrium.usage.store import LedgerStore
from starlette.testclient import TestClient

from functions.usage.app import build
from tests.builders.gateway import Fields, call_as, tenant_fields
from tests.builders.runtimes import build_runtime


@dataclass(frozen=True)
class UsageFunction:
    """The function, and the calls behind its figures."""

    table: PhysicalTable

    def settle(self, *entries: LedgerEntry) -> None:
        """Write entries to the ledger and count them."""
        for entry in entries:
            assert LedgerStore(TenantTable(self.table, entry.tenant_id)).put(entry)
        count = UsageCounter(lambda tenant_id: TenantTable(self.table, tenant_id)).count
        assert count([Arrival(entry, str(at)) for at, entry in enumerate(entries)]) == {}

    def call_as(self, fields: Fields | None) -> TestClient:
        return call_as(build(build_runtime(table=self.table)), fields)


@pytest.fixture
def function(physical_table: PhysicalTable) -> UsageFunction:
    return UsageFunction(physical_table)


@pytest.fixture
def admin(function: UsageFunction) -> TestClient:
    return function.call_as(tenant_fields())
