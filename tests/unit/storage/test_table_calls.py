"""The calls of a bound table: batches, writes and transactions."""

from collections.abc import Callable
from typing import Any

import pytest
from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.storage.keys import Key
from atrium.storage.table import BoundTable, Query, TenantTable, TransactionRefused
from atrium.storage.writes import ANY, EXISTS, NEW, Check, Delete, Operation, Put, Update

from tests.builders.wires import Recorder, Send, intercepted, lose_replies

KEY = Key("THINGS", "1")


def fill(table: BoundTable, count: int, partition: str = "THINGS") -> list[Key]:
    keys = [Key(partition, f"{number:03}") for number in range(count)]
    for key in keys:
        table.write(Put(key, {"number": int(key.sort), "gsi1pk": "ALL", "gsi1sk": key.sort}, ANY))
    return keys


def test_reads_are_consistent_except_on_an_index(table: TenantTable) -> None:
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


def test_a_batch_returns_existing_items_once(table: TenantTable) -> None:
    keys = fill(table, 2)
    found = table.batch_get([*keys, *keys, Key("THINGS", "none")])
    assert set(found) == set(keys)
    assert table.batch_get([]) == {}


def test_a_batch_has_100_keys_at_most(table: TenantTable) -> None:
    keys = [Key("THINGS", str(number)) for number in range(101)]
    assert table.batch_get(keys[:100]) == {}
    with pytest.raises(ValueError, match="at most 100 items"):
        table.batch_get(keys)


def answer_in_parts(part: int, name: str) -> Callable[[str, dict[str, Any], Send], Any]:
    """Return an interceptor that processes `part` requests of each batch and returns the others as unprocessed."""

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


def test_retries_unprocessed_keys(table: TenantTable, table_name: str) -> None:
    keys = fill(table, 6)
    with intercepted(table._client, answer_in_parts(2, table_name)):
        assert set(table.batch_get(keys)) == set(keys)


def test_retries_unprocessed_deletions(table: TenantTable, table_name: str) -> None:
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


def test_a_put_that_requires_a_new_item(table: TenantTable) -> None:
    assert table.write(Put(KEY, {"number": 1}, NEW)) == {"number": 1}
    with pytest.raises(ConditionFailed) as refused:
        table.write(Put(KEY, {"number": 2}, NEW))
    assert refused.value.item is not None
    assert refused.value.item["number"] == 1


def test_an_update_returns_the_new_item(table: TenantTable) -> None:
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


def test_a_condition_recognizes_its_own_repeated_write(table: TenantTable) -> None:
    """The SDK repeats a write whose reply was lost. After the first attempt, the condition `NEW` is false."""
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
