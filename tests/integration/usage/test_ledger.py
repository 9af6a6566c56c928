"""The ledger does not replace the first entry of a run."""

from dataclasses import replace
from datetime import UTC, datetime

from atrium.kernel.ids import TenantId
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.usage.store import LedgerStore

from tests.builders.gateway import OTHER_TENANT_ID, TENANT_ID
from tests.builders.ledger import build_entry


def ledger_of(table: PhysicalTable, tenant_id: str = TENANT_ID) -> LedgerStore:
    return LedgerStore(TenantTable(table, TenantId(tenant_id)))


def test_reads_back_an_entry(physical_table: PhysicalTable) -> None:
    store = ledger_of(physical_table)
    entry = replace(build_entry(tool_calls={"calculator": 2}), end_user="Ada")

    assert store.put(entry)
    assert store.get(entry.run_id) == entry


def test_the_same_entry_again_is_no_error(physical_table: PhysicalTable) -> None:
    store, entry = ledger_of(physical_table), build_entry()
    assert store.put(entry)
    assert store.put(entry)


def test_another_entry_of_the_run_does_not_stand(physical_table: PhysicalTable) -> None:
    store, entry = ledger_of(physical_table), build_entry()
    assert store.put(entry)
    assert not store.put(replace(entry, cost_nanos=1, status="failed"))
    assert store.get(entry.run_id) == entry


def test_a_run_settled_in_the_next_month_meets_its_first_settling(physical_table: PhysicalTable) -> None:
    store = ledger_of(physical_table)
    before, after = datetime(2026, 11, 30, 23, 59, tzinfo=UTC), datetime(2026, 12, 1, 0, 1, tzinfo=UTC)
    entry = build_entry(at=before)
    assert store.put(entry)
    assert not store.put(replace(entry, at=after))


def test_another_tenant_does_not_have_it(physical_table: PhysicalTable) -> None:
    entry = build_entry()
    ledger_of(physical_table).put(entry)
    assert ledger_of(physical_table, OTHER_TENANT_ID).get(entry.run_id) is None
