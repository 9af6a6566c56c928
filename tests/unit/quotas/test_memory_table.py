"""The table in memory behaves like moto: the same writes give the same items and the same failed conditions."""

import random
from typing import Any

import pytest
from atrium.kernel.errors import ConditionFailed
from atrium.storage.keys import Key
from atrium.storage.table import PhysicalTable, TenantTable, TransactionRefused
from atrium.storage.writes import ANY, NEW, Delete, Operation, Put, Update

from tests.builders.memory_table import TENANT, Evaluator, ExpressionInvalid, MemoryTable
from tests.builders.quota_model import World
from tests.builders.quota_workers import Step

KINDS = ["admit"] * 5 + ["extend", "extend", "settle", "settle", "renew", "release", "session", "sweep"]


def attempt(table: TenantTable, operation: Operation | tuple[Operation, ...]) -> Any:
    """Return the result of a write: its response, the item whose condition failed, or the operations that failed."""
    try:
        if isinstance(operation, tuple):
            table.transact(operation)
            return None
        return table.write(operation)  # type: ignore[arg-type]  # a Check is always in a transaction
    except ConditionFailed as failed:
        return "failed", failed.item
    except TransactionRefused as refused:
        return refused.failed


class Recording(MemoryTable):
    """A table that records each write with its result."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[Any, Any]] = []

    def _write(self, write: Any) -> Any:
        return self._logged(write, super()._write, write)

    def _transact(self, operations: Any) -> Any:
        return self._logged(tuple(operations), super()._transact, operations)

    def _logged(self, told: Any, act: Any, given: Any) -> Any:
        try:
            answer = act(given)
        except ConditionFailed as failed:
            self.log.append((told, ("failed", failed.item)))
            raise
        except TransactionRefused as refused:
            self.log.append((told, refused.failed))
            raise
        self.log.append((told, answer))
        return answer


@pytest.mark.parametrize("seed", range(2))
def test_random_writes_leave_the_same_items_as_on_moto(physical_table: PhysicalTable, seed: int) -> None:
    chance, world = random.Random(seed), World()
    recording = Recording()
    recording.intercept, recording.on_store, world.table = world.table.intercept, world.table.on_store, recording
    for _ in range(45):
        step = Step("admit", chance.randrange(16), chance.randrange(100), chance.randrange(8))
        kind: Any = chance.choice(KINDS)
        world.take(Step(kind, step.pick, step.amount, step.skew))
        world.take(Step("wait", amount=chance.randrange(8)))
        for worker in list(world.flying):
            world.finish(worker)
    world.end()
    real = TenantTable(physical_table, TENANT)
    for operation, answer in recording.log:
        assert attempt(real, operation) == answer
    assert len(recording.log) > 30
    for key, item in recording.items.items():
        assert real.get(key) == {**item, "pk": f"TENANT#{TENANT}#{key.partition}", "sk": key.sort}


CONDITIONS = [
    "#n = :five", "#n <> :five", "#n < :five", "#n <= :five", "#n > :five", "#n >= :five", "#n BETWEEN :one AND :five",
    "size(#map) < :one", "size(#map) >= :one", "attribute_exists(#map.#a)", "attribute_not_exists(#map.#b)",
    "begins_with(#map.#a, :x)", "begins_with(#text, :x)", "#gone = :one", "#gone <> :one", "#gone <= :five",
    "attribute_not_exists(#gone)", "attribute_exists(pk)", "size(#gone) < :five",
    "(attribute_not_exists(#gone) OR #n <= :one) AND #n = :five", "#n = :one OR #text = :x AND #n = :five",
    "(#n = :one OR #text = :x) AND #n = :one", "#gone.#a = :one", "#map = :map",
]  # fmt: skip
VALUES = {"one": 1, "five": 5, "x": "x", "map": {"a": "x1"}}


def values_of(condition: str) -> dict[str, object]:
    return {
        name: value for name, value in VALUES.items() if f":{name}" in condition.replace("(", " ").replace(")", " ")
    }


@pytest.mark.parametrize("condition", CONDITIONS)
def test_evaluates_conditions_like_moto(physical_table: PhysicalTable, condition: str) -> None:
    tables: list[TenantTable] = [TenantTable(physical_table, TENANT), MemoryTable()]
    answers = []
    for table in tables:
        table.write(Put(Key("A", "1"), {"n": 5, "text": "x", "map": {"a": "x1"}}, NEW))
        found = attempt(table, Put(Key("A", "1"), {"n": 6}, condition, values_of(condition)))
        answers.append(found[0] if isinstance(found, tuple) else "applied")
        found = attempt(table, Put(Key("A", "2"), {"n": 6}, condition, values_of(condition)))
        answers[-1] += found[0] if isinstance(found, tuple) else "applied"
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("SET #map = :map, #map.#a = :one", {"map": {}, "one": 1}),
        ("SET #a = :one REMOVE #a", {"one": 1}),
        ("SET #none.#a = :one", {"one": 1}),
        ("SET #a = :one", {"one": 1, "two": 2}),
        ("SET #a = :one" + ", #b = :one" * 400, {"one": 1}),
    ],
)
def test_rejects_expressions_that_dynamodb_rejects(expression: str, values: dict[str, object]) -> None:
    with pytest.raises(ExpressionInvalid):
        MemoryTable().write(Update(Key("A", "1"), expression, ANY, values))


def test_a_read_item_is_not_changed_by_later_writes() -> None:
    table = MemoryTable()
    table.write(Put(Key("A", "1"), {"map": {"a": 1}}, NEW))
    seen = table.get(Key("A", "1"))
    table.write(Update(Key("A", "1"), "SET #map.#b = :one", ANY, {"one": 1}))
    assert seen is not None
    assert seen["map"] == {"a": 1}
    table.write(Delete(Key("A", "1"), ANY))
    assert table.get(Key("A", "1")) is None


def test_operator_precedence_is_dynamodbs() -> None:
    assert Evaluator({"a": 1}, {}, {"one": 1, "two": 2}).holds("a = :two AND a = :two OR a = :one")
