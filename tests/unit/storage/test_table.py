"""A bound table: what it stores, what it finds, and that it cannot reach beyond its own prefix."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.kernel.ids import TenantId
from atrium.storage.failures import TransactionRefused
from atrium.storage.keys import Key
from atrium.storage.queries import Query
from atrium.storage.table import BoundTable, PhysicalTable, PlatformTable, TenantTable
from atrium.storage.writes import ANY, EXISTS, NEW, Check, Delete, Operation, Put, Update
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders.gateway import OTHER_TENANT_ID, TENANT_ID
from tests.builders.wires import Recorder, Send, intercepted, lose_replies

KEY = Key("THINGS", "1")


@pytest.fixture
def table(physical_table: PhysicalTable) -> TenantTable:
    return TenantTable(physical_table, TenantId(TENANT_ID))


@pytest.fixture
def others(physical_table: PhysicalTable) -> list[BoundTable]:
    """Every other view of the same table."""
    return [TenantTable(physical_table, TenantId(OTHER_TENANT_ID)), PlatformTable(physical_table)]


def fill(table: BoundTable, count: int, partition: str = "THINGS") -> list[Key]:
    keys = [Key(partition, f"{number:03}") for number in range(count)]
    for key in keys:
        table.write(Put(key, {"number": int(key.sort), "gsi1pk": "ALL", "gsi1sk": key.sort}, ANY))
    return keys


def sorts(items: list[dict[str, Any]]) -> list[str]:
    return [str(item["sk"]) for item in items]


def test_values_come_back_as_what_they_were(table: TenantTable) -> None:
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
def test_only_a_tenants_id_binds_a_table(physical_table: PhysicalTable, tenant_id: str) -> None:
    with pytest.raises(ValueError, match="not a tenant's id"):
        TenantTable(physical_table, TenantId(tenant_id))


def test_nothing_reaches_another_prefix(table: TenantTable, others: list[BoundTable]) -> None:
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


def test_an_index_key_that_is_updated_stays_inside(table: TenantTable, others: list[BoundTable]) -> None:
    table.write(Put(KEY, {"gsi2pk": "A", "gsi2sk": "1"}, NEW))
    table.write(Update(KEY, "SET #gsi2pk = :gsi2pk", EXISTS, {"gsi2pk": "B"}))
    assert sorts(table.fetch(Query("B", index="gsi2")).items) == ["1"]
    assert all(other.query(Query("B", index="gsi2")).items == [] for other in others)


def test_an_item_of_another_prefix_that_comes_back_is_a_defect(table: TenantTable) -> None:
    table.write(Put(KEY, {}, NEW))

    def leak(operation: str, arguments: dict[str, Any], send: Send) -> Any:
        answer = send()
        answer["Item"]["pk"] = {"S": f"TENANT#{TENANT_ID}0#THINGS"}
        return answer

    with intercepted(table._client, leak), pytest.raises(RuntimeError, match="another prefix"):
        table.get(KEY)


@pytest.mark.parametrize("index", [None, "gsi1"])
def test_a_position_holds_no_tenant(table: TenantTable, index: Any) -> None:
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


def test_prefix_after_and_filter(table: TenantTable) -> None:
    fill(table, 12)
    assert sorts(table.query(Query("THINGS", prefix="01")).items) == ["010", "011"]
    assert sorts(table.query(Query("THINGS", after="009")).items) == ["010", "011"]
    filtered = table.query(Query("THINGS", where="#number > :least", values={"least": 10}, limit=100))
    assert sorts(filtered.items) == ["011"]


def test_a_filtered_page_may_be_empty_and_still_have_a_next_one(table: TenantTable) -> None:
    fill(table, 4)
    page = table.query(Query("THINGS", where="#number = :n", values={"n": 3}, limit=2))
    assert (page.items, page.position is not None) == ([], True)


def test_what_an_index_names_but_is_gone_is_left_out(table: TenantTable) -> None:
    keys = fill(table, 3)

    def delete_between(operation: str, arguments: dict[str, Any], send: Send) -> Any:
        if operation == "BatchGetItem":
            table.delete_all([keys[1]])
        return send()

    with intercepted(table._client, delete_between):
        assert sorts(table.fetch(Query("ALL", index="gsi1")).items) == ["000", "002"]


def test_reads_are_consistent_but_for_an_index(table: TenantTable) -> None:
    recorder = Recorder()
    with intercepted(table._client, recorder):
        table.get(KEY)
        table.batch_get([KEY])
        table.query(Query("THINGS"))
        table.query(Query("ALL", index="gsi1"))
    get, batch, query, index = recorder.arguments
    assert get["ConsistentRead"] is query["ConsistentRead"] is True
    assert next(iter(batch["RequestItems"].values()))["ConsistentRead"] is True
    assert "ConsistentRead" not in index


def test_a_batch_reads_what_exists_once(table: TenantTable) -> None:
    keys = fill(table, 2)
    found = table.batch_get([*keys, *keys, Key("THINGS", "none")])
    assert set(found) == set(keys)
    assert table.batch_get([]) == {}


def test_a_batch_has_100_keys_at_most(table: TenantTable) -> None:
    keys = [Key("THINGS", str(number)) for number in range(101)]
    assert table.batch_get(keys[:100]) == {}
    with pytest.raises(ValueError, match="100 items at most"):
        table.batch_get(keys)


def answer_in_parts(part: int, name: str) -> Callable[[str, dict[str, Any], Send], Any]:
    """Let a batch process `part` of its keys and return the others, as a busy table does."""

    def answer(operation: str, arguments: dict[str, Any], send: Send) -> Any:
        requests = arguments["RequestItems"][name]
        if operation == "BatchGetItem":
            left = requests["Keys"][part:]
            requests["Keys"] = requests["Keys"][:part]
            rest: Any = {"Keys": left}
        else:
            rest = requests[part:]
            del requests[part:]
        processed = send() if part else {"Responses": {}, "UnprocessedItems": {}, "UnprocessedKeys": {}}
        unprocessed = "UnprocessedKeys" if operation == "BatchGetItem" else "UnprocessedItems"
        return {**processed, unprocessed: {name: rest} if rest and rest != {"Keys": []} else {}}

    return answer


def test_unprocessed_keys_are_asked_for_again(table: TenantTable, table_name: str) -> None:
    keys = fill(table, 6)
    with intercepted(table._client, answer_in_parts(2, table_name)):
        assert set(table.batch_get(keys)) == set(keys)


def test_unprocessed_deletions_are_sent_again(table: TenantTable, table_name: str) -> None:
    keys = fill(table, 6)
    with intercepted(table._client, answer_in_parts(2, table_name)):
        table.delete_all(keys)
    assert table.query(Query("THINGS")).items == []


def test_a_batch_that_stays_incomplete_is_unavailable(table: TenantTable, table_name: str) -> None:
    keys = fill(table, 2)
    with intercepted(table._client, answer_in_parts(0, table_name)):
        with pytest.raises(Unavailable) as reading:
            table.batch_get(keys)
        with pytest.raises(Unavailable):
            table.delete_all(keys)
    assert reading.value.retry_after_seconds == 1


def test_deletions_go_25_in_a_call_and_may_be_repeated(table: TenantTable) -> None:
    keys = fill(table, 30)
    recorder = Recorder()
    with intercepted(table._client, recorder):
        table.delete_all(keys)
        table.delete_all(keys[:1])
    assert recorder.operations == ["BatchWriteItem"] * 3
    assert table.query(Query("THINGS")).items == []


def test_a_put_that_must_be_new(table: TenantTable) -> None:
    assert table.write(Put(KEY, {"number": 1}, NEW)) == {"number": 1}
    with pytest.raises(ConditionFailed) as refused:
        table.write(Put(KEY, {"number": 2}, NEW))
    assert refused.value.item is not None
    assert refused.value.item["number"] == 1


def test_an_update_returns_the_item_as_it_is_then(table: TenantTable) -> None:
    table.write(Put(KEY, {"number": 1, "kept": "x"}, NEW))
    change = Update(
        KEY,
        "SET #number = #number + :one, #alias = :text",
        "#number = :one",
        {"one": 1, "text": "t"},
        {"alias": "odd name"},
    )
    changed = table.write(change)
    assert (changed["number"], changed["kept"], changed["odd name"]) == (2, "x", "t")
    with pytest.raises(ConditionFailed) as refused:
        table.write(change)
    assert refused.value.item is not None
    assert refused.value.item["number"] == 2


def test_an_update_without_a_condition_makes_the_item(table: TenantTable) -> None:
    assert table.write(Update(KEY, "SET #number = :n", ANY, {"n": 1}))["number"] == 1


def test_a_deletion_under_a_condition(table: TenantTable) -> None:
    table.write(Put(KEY, {"number": 1}, NEW))
    with pytest.raises(ConditionFailed):
        table.write(Delete(KEY, "#number = :n", {"n": 2}))
    assert table.write(Delete(KEY, "#number = :n", {"n": 1})) == {}
    assert table.get(KEY) is None


def test_a_condition_that_must_recognise_its_own_mark(table: TenantTable) -> None:
    """The SDK repeats a write whose reply was lost; the write itself has made `NEW` false."""
    with intercepted(table._client, lose_replies):
        with pytest.raises(ConditionFailed) as refused:
            table.write(Put(KEY, {"mark": "m"}, NEW))
        table.write(Put(KEY, {"mark": "m"}, NEW + " OR #mark = :mark", {"mark": "m"}))
    assert refused.value.item is not None
    assert refused.value.item["mark"] == "m"


def test_a_transaction_applies_all(table: TenantTable) -> None:
    first, second, third = fill(table, 3)
    operations: list[Operation] = [
        Put(KEY, {"number": 1}, NEW),
        Update(first, "SET #number = :n", EXISTS, {"n": 7}),
        Delete(second, EXISTS),
        Check(third, "#number = :n", {"n": 2}),
    ]
    table.transact(operations)
    assert table.get(KEY) is not None
    assert table.get(second) is None


def test_a_refused_transaction_names_the_conditions_and_applies_nothing(table: TenantTable) -> None:
    first, second = fill(table, 2)
    with pytest.raises(TransactionRefused) as refused:
        table.transact([Put(KEY, {}, NEW), Put(first, {}, NEW), Delete(second, EXISTS), Check(Key("NO", "1"), EXISTS)])
    assert refused.value.failed == {1, 3}
    assert table.get(KEY) is None
    assert table.get(second) is not None
