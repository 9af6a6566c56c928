"""The usage function on a table with settled and counted calls."""

from dataclasses import dataclass
from datetime import datetime

import pytest
from atrium.kernel.ids import SessionId
from atrium.runs.model import Spend
from atrium.sessions.store import SessionStore
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.usage.model import Arrival, LedgerEntry
from atrium.usage.service import UsageCounter
from atrium.usage.store import LedgerStore
from starlette.testclient import TestClient

from functions.usage.app import build
from tests.builders.gateway import Fields, call_as, tenant_fields
from tests.builders.ledger import build_entry
from tests.builders.runtimes import build_runtime
from tests.builders.sessions import build_session, ended_run


@dataclass(frozen=True)
class UsageFunction:
    """The usage function, with methods that write the ledger entries that the function reports."""

    table: PhysicalTable

    def settle(self, *entries: LedgerEntry) -> None:
        """Write entries to the ledger and count them."""
        for entry in entries:
            assert LedgerStore(TenantTable(self.table, entry.tenant_id)).put(entry)
        count = UsageCounter(lambda tenant_id: TenantTable(self.table, tenant_id)).count
        assert count([Arrival(entry, str(at)) for at, entry in enumerate(entries)]) == {}

    def talk(self, session_id: SessionId, at: datetime, *, cost_nanos: int) -> None:
        """Run a turn of a session at the time `at`. Settle and count the ledger entry of the turn."""
        entry = build_entry(session_id=session_id, at=at, cost_nanos=cost_nanos)
        sessions = SessionStore(TenantTable(self.table, entry.tenant_id))
        read = sessions.get(session_id) or build_session(id=session_id, at=at)
        if read.listed_at is None:
            sessions.create(read)
        sessions.open_turn(read, entry.run_id, now=at)
        spend = Spend(entry.tokens, entry.tool_calls, entry.cost_nanos)
        assert sessions.close_turn(ended_run(entry.run_id, at=at, spend=spend))
        self.settle(entry)

    def call_as(self, fields: Fields | None) -> TestClient:
        return call_as(build(build_runtime(table=self.table)), fields)


@pytest.fixture
def function(physical_table: PhysicalTable) -> UsageFunction:
    return UsageFunction(physical_table)


@pytest.fixture
def admin(function: UsageFunction) -> TestClient:
    return function.call_as(tenant_fields())
