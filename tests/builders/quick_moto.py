"""moto's table, made quick: theirs copies the whole table before each transaction, because an update changes an item in
place. Here an update changes a copy that it puts in the item's place, so that who holds the old ones has the old table.
"""

import copy
from collections import defaultdict
from typing import Any

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

type Items = defaultdict[DynamoType, dict[DynamoType, Item]]

_update = DynamoDBBackend.update_item


def quicken() -> None:
    """From now on a transaction costs what it writes, however large its table is. Idempotent."""
    setattr(DynamoDBBackend, "update_item", _update_a_copy)  # noqa: B010 - theirs, replaced
    setattr(Table, "__deepcopy__", _copy_table)  # noqa: B010


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
