"""Fixture data that is created once per process and copied for each test, because creation on moto is slow.

Creating the secrets of a deployment takes 60 ms. Creating the items of a tenant takes 90 ms.
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
    """Create secrets with the values from `fill`, which is called once per process. Return the ARNs of the secrets."""
    if not _texts:
        _texts.update(fill())
    values: list[Any] = [{"SecretString": _texts[name]} if name in _texts else {} for name in names]
    return [
        client.create_secret(Name=f"atrium/{name}", **value)["ARN"] for name, value in zip(names, values, strict=True)
    ]


def put_back[Value](table: PhysicalTable, what: Hashable, make: Callable[[], Value]) -> Value:
    """Return the result of `make`, which is called once per process for each value of `what`.

    Later calls with the same `what` return the first result, and write the same items to the table.
    """
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
    """Call `make`. Return its result, and the final state of the items that it wrote."""
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
