"""The handler of the table's stream: which changes are counted, and which records are reported for a retry."""

from datetime import date
from typing import Any

import pytest
from atrium.kernel.ids import TenantId
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.usage.model import Figures, LedgerEntry, SumKey
from atrium.usage.store import LedgerStore
from atrium.usage.sums import SumStore

from functions.events.usage_stream import count_changes, read_arrivals
from tests.builders.gateway import TENANT_ID
from tests.builders.ledger import RUN_ID, build_entry, stream_record, table_record
from tests.builders.refusals import refusing
from tests.builders.runtimes import build_runtime

TOTAL = SumKey(date(2026, 11, 21), "TOTAL")


def deliver(table: PhysicalTable, *records: dict[str, Any]) -> list[str]:
    """Call the handler with these records. Return the sequence numbers that it reports for a retry."""
    answer = count_changes(build_runtime(table=table)(), {"Records": list(records)})
    return [str(failure["itemIdentifier"]) for failure in answer["batchItemFailures"]]


def settle(table: PhysicalTable, entry: LedgerEntry) -> LedgerEntry:
    assert LedgerStore(TenantTable(table, entry.tenant_id)).put(entry)
    return entry


def total(table: PhysicalTable) -> Figures:
    return SumStore(TenantTable(table, TenantId(TENANT_ID))).read([TOTAL]).get(TOTAL, Figures())


def test_a_new_entry_is_counted_once(physical_table: PhysicalTable) -> None:
    record = stream_record(settle(physical_table, build_entry()), 1)
    assert deliver(physical_table, record) == []
    assert deliver(physical_table, record) == []
    assert total(physical_table) == Figures(1, 100, 20, 3, 4, 0, 12_345)


def test_marks_entries_with_the_sequence_number(physical_table: PhysicalTable) -> None:
    entry = settle(physical_table, build_entry())
    deliver(physical_table, stream_record(entry, 77))
    answer = physical_table.client.get_item(
        TableName=physical_table.name,
        Key={"pk": {"S": f"TENANT#{TENANT_ID}#LEDGER#2026-11"}, "sk": {"S": entry.run_id}},
    )
    assert answer["Item"]["counted"] == {"S": f"{77:021}"}
    assert LedgerStore(TenantTable(physical_table, entry.tenant_id)).get(entry.run_id) == entry


def test_changes_and_removals_of_entries_count_nothing(physical_table: PhysicalTable) -> None:
    entry = settle(physical_table, build_entry())
    assert deliver(physical_table, stream_record(entry, 1, kind="MODIFY"), stream_record(entry, 2, kind="REMOVE")) == []
    assert total(physical_table) == Figures()


@pytest.mark.parametrize(
    ("partition", "sort"),
    [
        (f"TENANT#{TENANT_ID}", "TENANT"),
        (f"TENANT#{TENANT_ID}#SESSION#ses_1", "HEAD"),
        (f"TENANT#{TENANT_ID}#LEDGER#2026-09", RUN_ID),
        (f"TENANT#{TENANT_ID}#LEDGER#2026-11", "run_nonsense"),
        (f"TENANT#{TENANT_ID}#JOBS#2026-11", RUN_ID),
        ("TENANT#unknown#LEDGER#2026-11", RUN_ID),
        ("PLATFORM#TENANTS", TENANT_ID),
        ("PLATFORM", "KEY#x"),
    ],
)
def test_ignores_other_items(partition: str, sort: str) -> None:
    event = {"Records": [table_record(partition, sort, 1, image={"pk": {"S": partition}, "sk": {"S": sort}})]}
    assert list(read_arrivals(event)) == []


def test_an_entry_that_cannot_be_read_does_not_stop_the_others(
    physical_table: PhysicalTable, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = settle(physical_table, build_entry()), stream_record(build_entry(), 1)
    del bad["dynamodb"]["NewImage"]["cost_nanos"]

    assert deliver(physical_table, bad, stream_record(good, 2)) == []
    assert total(physical_table).requests == 1
    assert "a ledger entry cannot be read" in caplog.text


def test_reports_records_that_could_not_be_counted(physical_table: PhysicalTable) -> None:
    entry = settle(physical_table, build_entry())
    other = table_record("PLATFORM", "KEY#x", 1, image={"pk": {"S": "PLATFORM"}})
    with refusing(physical_table, "TransactWriteItems", "ThrottlingException"):
        assert deliver(physical_table, other, stream_record(entry, 2)) == [f"{2:021}"]
    assert deliver(physical_table, stream_record(entry, 2)) == []
    assert total(physical_table).requests == 1
