"""A faster and more exact moto table. moto copies the whole table before each transaction, because an update changes
an item in place. Here an update changes a copy and replaces the item, so copying the list of items is enough. moto
searches ten members of an attribute value under all their names. Here the single member is read directly. moto
raises an error for the size of a missing attribute. Here `size(x) < n` is false, as on AWS.
"""

import copy
import sys
from collections import defaultdict
from functools import cache
from typing import Any

from moto.core.model import StructureShape
from moto.core.serialize import JSONSerializer
from moto.dynamodb.comparisons import FuncSize
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing.tokens import ExpressionTokenizer, Token

type Items = defaultdict[DynamoType, dict[DynamoType, Item]]

_update = DynamoDBBackend.update_item
_size = FuncSize.expr
_serialize = JSONSerializer._serialize_type_structure
_FRAMES = 4_000
"""moto parses conditions recursively. A condition with 25 parts needs more than Python's default of 1000 frames."""
_AS_THEY_ARE = frozenset({"S", "N", "BOOL", "NULL", "SS", "NS"})


def quicken() -> None:
    """Patch moto so that a call does not copy the whole table. Idempotent."""
    setattr(DynamoDBBackend, "update_item", _update_a_copy)  # noqa: B010 - theirs, replaced
    setattr(Table, "__deepcopy__", _copy_table)  # noqa: B010
    setattr(JSONSerializer, "_serialize_type_structure", _serialize_structure)  # noqa: B010
    setattr(FuncSize, "expr", _size_or_none)  # noqa: B010
    setattr(ExpressionTokenizer, "make_list", staticmethod(_tokens_of))  # noqa: B010
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _FRAMES))


@cache
def _read_tokens(expression: str) -> tuple[Token, ...]:
    return tuple(ExpressionTokenizer(expression)._make_list())


def _tokens_of(expression: str) -> list[Token]:
    """Return the tokens of an update expression. They are the same for each use of the expression."""
    return list(_read_tokens(expression))


def copy_items(table: Table) -> Items:
    """Return a table's current items. Later writes do not change them."""
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
        except (TypeError, ValueError):  # bytes, or another format that moto supports
            _serialize(serializer, serialized, value, shape, key)
    else:
        _serialize(serializer, serialized, value, shape, key)


def _as_text(value: Any) -> dict[str, Any]:
    """Return an attribute's value as text."""
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
