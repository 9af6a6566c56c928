"""A bound table stores and finds items, and cannot access keys outside its prefix."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import TenantId
from atrium.storage.keys import Key
from atrium.storage.table import BoundTable, PhysicalTable, Query, TenantTable, TransactionRefused
from atrium.storage.writes import ANY, EXISTS, NEW, Check, Delete, Put, Update
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders.gateway import TENANT_ID
from tests.builders.wires import Send, intercepted

KEY = Key("THINGS", "1")


def fill(table: BoundTable, count: int, partition: str = "THINGS") -> list[Key]:
    keys = [Key(partition, f"{number:03}") for number in range(count)]
    for key in keys:
        table.write(Put(key, {"number": int(key.sort), "gsi1pk": "ALL", "gsi1sk": key.sort}, ANY))
    return keys


def sorts(items: list[dict[str, Any]]) -> list[str]:
    return [str(item["sk"]) for item in items]


def test_reads_back_values(table: TenantTable) -> None:
    item = {
        "text": "ü",
        "empty": "",
        "whole": 12,
        "negative": -1,
        "fraction": Decimal("0.1"),
        "large": 10**30,
        "yes": True,
        "raw": b"\0\xff",
        "list": [1, {"deep": b"x", "none": None}],
        "map": {"a": Decimal("2.50")},
        "none": None,
    }
    table.write(Put(KEY, item, NEW))
    found = table.get(KEY)
    assert found is not None
    assert {name: found[name] for name in item if name != "none"} == {k: v for k, v in item.items() if k != "none"}
    assert "none" not in found, "an attribute without a value is not stored, so that indexes stay sparse"
    assert isinstance(found["whole"], int)
    assert isinstance(found["raw"], bytes)


def test_floats_are_refused(table: TenantTable) -> None:
    with pytest.raises(TypeError):
        table.write(Put(KEY, {"number": 0.1}, ANY))


@pytest.mark.parametrize("tenant_id", ["", "ten_", "acme", f"{TENANT_ID}#", f"{TENANT_ID}#SESSION", "PLATFORM"])
def test_binding_a_table_requires_a_tenant_id(physical_table: PhysicalTable, tenant_id: str) -> None:
    with pytest.raises(ValueError, match="not a tenant id"):
        TenantTable(physical_table, TenantId(tenant_id))


def test_cannot_access_another_prefix(table: TenantTable, others: list[BoundTable]) -> None:
    fill(table, 3)
    key = Key("THINGS", "001")
    for other in others:
        assert other.get(key) is None
        assert other.batch_get([key]) == {}
        assert other.query(Query("THINGS")).items == []
        assert other.query(Query("ALL", index="gsi1")).items == []
        assert other.fetch(Query("ALL", index="gsi1")).items == []
        other.write(Delete(key, ANY))
        other.delete_all([key])
        with pytest.raises(ConditionFailed) as refused:
            other.write(Update(key, "SET #number = :n", EXISTS, {"n": 9}))
        assert refused.value.item is None
        with pytest.raises(TransactionRefused):
            other.transact([Check(key, EXISTS)])
        other.write(Put(key, {"number": 9}, NEW))
    found = table.get(key)
    assert found is not None
    assert found["number"] == 1


def test_updated_index_keys_keep_the_prefix(table: TenantTable, others: list[BoundTable]) -> None:
    table.write(Put(KEY, {"gsi2pk": "A", "gsi2sk": "1"}, NEW))
    table.write(Update(KEY, "SET #gsi2pk = :gsi2pk", EXISTS, {"gsi2pk": "B"}))
    assert sorts(table.fetch(Query("B", index="gsi2")).items) == ["1"]
    assert all(other.query(Query("B", index="gsi2")).items == [] for other in others)


def test_an_item_of_another_prefix_is_an_error(table: TenantTable) -> None:
    table.write(Put(KEY, {}, NEW))

    def leak(operation: str, arguments: dict[str, Any], send: Send) -> Any:
        answer = send()
        answer["Item"]["pk"] = {"S": f"TENANT#{TENANT_ID}0#THINGS"}
        return answer

    with intercepted(table._client, leak), pytest.raises(RuntimeError, match="another prefix"):
        table.get(KEY)


@pytest.mark.parametrize("index", [None, "gsi1"])
def test_a_position_does_not_contain_the_tenant(table: TenantTable, index: Any) -> None:
    fill(table, 3)
    page = table.query(Query("ALL" if index else "THINGS", index=index, limit=2))
    assert page.position is not None
    assert "TENANT" not in str(page.position)
    assert TENANT_ID not in str(page.position)


@given(st.integers(1, 6), st.booleans(), st.sampled_from([None, "gsi1"]), st.integers(0, 5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_pages_of_any_size_give_everything_once_in_order(
    table: TenantTable, limit: int, newest_first: bool, index: Any, count: int
) -> None:
    keys = fill(table, count)
    table.delete_all([Key("THINGS", f"{number:03}") for number in range(count, 6)])
    found: list[str] = []
    position = None
    while True:
        query = Query(
            "ALL" if index else "THINGS", index=index, newest_first=newest_first, limit=limit, position=position
        )
        page = table.fetch(query) if index else table.query(query)
        assert len(page.items) <= limit
        found += sorts(page.items)
        position = page.position
        if position is None:
            break
    assert found == [key.sort for key in (reversed(keys) if newest_first else keys)]
    assert sorts(list(table.query_all(replace(query, position=None)))) == found


def test_prefix_after_and_filter(table: TenantTable) -> None:
    fill(table, 12)
    assert sorts(table.query(Query("THINGS", prefix="01")).items) == ["010", "011"]
    assert sorts(table.query(Query("THINGS", after="009")).items) == ["010", "011"]
    filtered = table.query(Query("THINGS", where="#number > :least", values={"least": 10}, limit=100))
    assert sorts(filtered.items) == ["011"]


def test_returns_only_the_wanted_attributes(table: TenantTable) -> None:
    fill(table, 4)
    page = table.query(Query("THINGS", attributes=("number", "missing"), limit=3))
    assert [item.keys() for item in page.items] == [{"pk", "sk", "number"}] * 3
    assert page.position is not None
    assert sorts(table.query(Query("THINGS", attributes=("number",), position=page.position)).items) == ["003"]


def test_a_filtered_page_may_be_empty_and_still_have_a_next_one(table: TenantTable) -> None:
    fill(table, 4)
    page = table.query(Query("THINGS", where="#number = :n", values={"n": 3}, limit=2))
    assert (page.items, page.position is not None) == ([], True)


def test_omits_deleted_items_of_an_index(table: TenantTable) -> None:
    keys = fill(table, 3)

    def delete_between(operation: str, arguments: dict[str, Any], send: Send) -> Any:
        if operation == "BatchGetItem":
            table.delete_all([keys[1]])
        return send()

    with intercepted(table._client, delete_between):
        assert sorts(table.fetch(Query("ALL", index="gsi1")).items) == ["000", "002"]
