"""Fixture data that is created once per test process and copied into each test, because creating it on moto is slow.

It contains deployment secrets (60 ms) and the items of a new tenant (90 ms).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atrium.storage.table import PhysicalTable

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient


@dataclass(frozen=True)
class _Made:
    value: Any
    items: tuple[dict[str, Any], ...]


_texts: dict[str, str] = {}
_made: dict[Hashable, _Made] = {}


def create_filled(
    client: SecretsManagerClient, fill: Callable[[], dict[str, str]], names: tuple[str, ...]
) -> list[str]:
    """Create secrets with the values that `fill` creates once per process. Return their ARNs."""
    if not _texts:
        _texts.update(fill())
    values: list[Any] = [{"SecretString": _texts[name]} if name in _texts else {} for name in names]
    return [
        client.create_secret(Name=f"atrium/{name}", **value)["ARN"] for name, value in zip(names, values, strict=True)
    ]


def put_back[Value](table: PhysicalTable, what: Hashable, make: Callable[[], Value]) -> Value:
    """Return the first result of `make` for the same `what`, and restore the items that it wrote."""
    known = _made.get(what)
    if known is None:
        made, written = _watch(table, make)
        _made[what] = _Made(made, written)
        return made
    requests: Any = {table.name: [{"PutRequest": {"Item": item}} for item in known.items]}
    table.client.batch_write_item(RequestItems=requests)
    value: Value = known.value
    return value


def _watch[Value](table: PhysicalTable, make: Callable[[], Value]) -> tuple[Value, tuple[dict[str, Any], ...]]:
    """Return the result, and the current state of the items that were written."""
    places: dict[tuple[str, str], dict[str, Any]] = {}

    def note(params: dict[str, Any], **_: object) -> None:
        for write in [params, *[one for each in params.get("TransactItems", []) for one in each.values()]]:
            if "Item" in write or "UpdateExpression" in write:
                place = {name: write.get("Key", write.get("Item"))[name] for name in ("pk", "sk")}
                places[place["pk"]["S"], place["sk"]["S"]] = place

    table.client.meta.events.register("before-parameter-build.dynamodb", note)
    try:
        value = make()
    finally:
        table.client.meta.events.unregister("before-parameter-build.dynamodb", note)
    found: list[Any] = [
        table.client.get_item(TableName=table.name, Key=place, ConsistentRead=True).get("Item")
        for place in places.values()
    ]
    return value, tuple(item for item in found if item)
