"""moto's table, made quick, and right where it fails: the size of what is not there compares as false, as in DynamoDB.

Theirs copies the whole table before each transaction, because an update changes an item in place. Here an update
changes a copy that it puts in the item's place, so that who holds the old ones has the old table. And theirs looks for
each of the ten members that an attribute's value may have, under all names that each may have; here the one is taken.
And theirs raises an error for the size of an attribute that an item does not have; here, as on AWS, `size(x) < n`
does not hold then.
"""

import copy
import sys
from collections import defaultdict
from typing import Any

from moto.core.model import StructureShape
from moto.core.serialize import JSONSerializer
from moto.dynamodb.comparisons import FuncSize
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

type Items = defaultdict[DynamoType, dict[DynamoType, Item]]

_update = DynamoDBBackend.update_item
_size = FuncSize.expr
_serialize = JSONSerializer._serialize_type_structure
_FRAMES = 4_000
"""moto parses a condition by recursion: one of twenty-five parts needs more than Python's thousand frames."""
_AS_THEY_ARE = frozenset({"S", "N", "BOOL", "NULL", "SS", "NS"})


def quicken() -> None:
    """From now on a call costs what it reads and writes, however large its table is. Idempotent."""
    setattr(DynamoDBBackend, "update_item", _update_a_copy)  # noqa: B010 - theirs, replaced
    setattr(Table, "__deepcopy__", _copy_table)  # noqa: B010
    setattr(JSONSerializer, "_serialize_type_structure", _serialize_structure)  # noqa: B010
    setattr(FuncSize, "expr", _size_or_none)  # noqa: B010
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _FRAMES))


def copy_items(table: Table) -> Items:
    """Return a table's items as they are now: later writes do not change them."""
    items: Items = defaultdict(dict)
    items.update((first, dict(held)) for first, held in table.items.items())
    return items


def _copy_table(table: Table, memo: dict[int, Any]) -> Table:
    twin = copy.copy(table)
    twin.items = copy_items(table)
    return twin


def _update_a_copy(backend: DynamoDBBackend, table_name: str, key: dict[str, Any], *rest: Any, **named: Any) -> Item:
    table = backend.get_table(table_name)
    first, second = (DynamoType(key[str(name)]) for name in (table.hash_key_attr, table.range_key_attr))
    items = table.items.get(first, {})
    if second in items:
        items[second] = copy.deepcopy(items[second])
    return _update(backend, table_name, key, *rest, **named)


def _size_or_none(func: FuncSize, item: Item | None) -> int | None:
    return None if func.attr.get_type(item) is None else _size(func, item)


def _serialize_structure(
    serializer: JSONSerializer, serialized: Any, value: Any, shape: StructureShape, key: str
) -> None:
    if shape.name == "AttributeValue" and key:
        try:
            serialized[key] = _as_text(value)
        except (TypeError, ValueError):  # bytes, or another form: theirs knows it
            _serialize(serializer, serialized, value, shape, key)
    else:
        _serialize(serializer, serialized, value, shape, key)


def _as_text(value: Any) -> dict[str, Any]:
    """Return what an attribute's value is on the wire."""
    if isinstance(value, DynamoType):
        value = {value.type: value.value}
    ((kind, held),) = value.items()
    if kind == "M":
        return {"M": {name: _as_text(each) for name, each in held.items()}}
    if kind == "L":
        return {"L": [_as_text(each) for each in held]}
    if kind not in _AS_THEY_ARE:
        raise ValueError(kind)
    return {kind: held}
