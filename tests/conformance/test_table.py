"""Behaviour that moto does not emulate: conditional writes and transactions in races, page sizes, and capacity."""

from typing import Any

import pytest
from atrium.kernel.errors import ConditionFailed
from atrium.storage.keys import Key
from atrium.storage.table import PhysicalTable, Query, TenantTable, TransactionRefused
from atrium.storage.writes import ANY, NEW, Check, Put, Update

from tests.conformance import races
from tests.conformance.races import COUNTER, TENANT, Race, count


@pytest.fixture
def table(dynamodb_table: PhysicalTable) -> TenantTable:
    return TenantTable(dynamodb_table, TENANT)


def race(dynamodb_table: PhysicalTable, *, attempts: int, maximum: int = 0) -> Race:
    return Race(dynamodb_table.client.meta.endpoint_url, dynamodb_table.name, attempts, maximum)


def test_limit_holds_between_processes(dynamodb_table: PhysicalTable, table: TenantTable) -> None:
    granted = count(races.take_while_below, race(dynamodb_table, attempts=60, maximum=50))
    item = table.get(COUNTER)
    assert item is not None
    assert (granted, item["n"]) == (50, 50)


def test_transactions_lose_no_update(dynamodb_table: PhysicalTable, table: TenantTable) -> None:
    granted = count(races.add_in_transactions, race(dynamodb_table, attempts=20))
    item = table.get(COUNTER)
    assert item is not None
    assert (granted, item["n"]) == (80, 80)


def test_transaction_repeated_with_its_token_applies_once(table: TenantTable) -> None:
    for _ in range(3):
        table.transact([Update(COUNTER, "ADD #n :one", "", {"one": 1})], token="a-reply-that-was-lost")
    item = table.get(COUNTER)
    assert item is not None
    assert item["n"] == 1


def test_failed_condition_returns_the_item(table: TenantTable) -> None:
    table.write(Put(Key("A", "B"), {"name": "first"}, NEW))
    with pytest.raises(ConditionFailed) as refused:
        table.write(Put(Key("A", "B"), {"name": "second"}, NEW))
    assert refused.value.item is not None
    assert refused.value.item["name"] == "first"


def test_failed_transaction_names_the_condition_and_writes_nothing(table: TenantTable) -> None:
    table.write(Put(Key("A", "1"), {}, NEW))
    with pytest.raises(TransactionRefused) as refused:
        table.transact([Put(Key("A", "2"), {}, NEW), Check(Key("A", "1"), "attribute_not_exists(pk)")])
    assert refused.value.failed == frozenset({1})
    assert table.get(Key("A", "2")) is None


def test_pages_end_at_one_megabyte_and_continue(table: TenantTable) -> None:
    for number in range(8):
        table.write(Put(Key("BIG", f"{number}"), {"text": "x" * 300_000}, ANY))
    first = table.query(Query("BIG", limit=100))
    assert 0 < len(first.items) < 8
    seen, position = list(first.items), first.position
    while position is not None:
        page = table.query(Query("BIG", limit=100, position=position))
        seen, position = [*seen, *page.items], page.position
    assert len(seen) == 8


def test_capacity_equals_that_of_aws(dynamodb_table: PhysicalTable) -> None:
    item: Any = {"pk": {"S": "CAPACITY"}, "sk": {"S": "1"}, "text": {"S": "x" * 2_900}}
    used = dynamodb_table.client.put_item(TableName=dynamodb_table.name, Item=item, ReturnConsumedCapacity="TOTAL")[
        "ConsumedCapacity"
    ]
    assert used["CapacityUnits"] == 3
