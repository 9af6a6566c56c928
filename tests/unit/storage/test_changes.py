"""Stream records: the tenant of a record is read from its key, and records without a tenant are ignored."""

from typing import Any

import pytest
from atrium.storage.changes import read_change

TENANT = "ten_01k6r5m2x8f3v9q4w7t1y0z5ab"


def record(partition: str) -> dict[str, Any]:
    change = {"Keys": {"pk": {"S": partition}, "sk": {"S": "run"}}, "SequenceNumber": "1"}
    return {"eventName": "INSERT", "dynamodb": change}


def test_reads_the_tenant_of_an_item() -> None:
    change = read_change(record(f"TENANT#{TENANT}#LEDGER#2026-11"))
    assert change is not None
    assert (change.tenant_id, change.key.partition) == (TENANT, "LEDGER#2026-11")


@pytest.mark.parametrize(
    "partition", [f"PLATFORM#{TENANT}#LEDGER#2026-11", "TENANT#acme#LEDGER#2026-11", "TENANT##LEDGER", "TENANT", ""]
)
def test_ignores_items_without_a_tenant(partition: str) -> None:
    assert read_change(record(partition)) is None
