"""All of a tenant's admission items, however many shards there are or were, and who is counted apart."""

from collections.abc import Iterator, Mapping
from typing import Any

from atrium.kernel.pagination import LIMIT_MAX, Position
from atrium.storage import keys, usage_keys
from atrium.storage.queries import Query
from atrium.storage.table import TenantTable


def read_shards(table: TenantTable) -> dict[int, Mapping[str, Any]]:
    """Return the items by shard, strongly consistent: a read unit for 4 kB. One may be missing, or be left over."""
    return {int(item["sk"]): item for item in _read(table, keys.admission(0).partition)}


def list_apart(table: TenantTable) -> list[str]:
    """Return the ids of the subjects that have an admission item of their own."""
    return [str(item["sk"]) for item in _read(table, usage_keys.admissions_apart())]


def _read(table: TenantTable, partition: str) -> Iterator[Mapping[str, Any]]:
    position: Position | None = None
    while True:
        page = table.query(Query(partition, limit=LIMIT_MAX, position=position))
        yield from page.items
        position = page.position
        if position is None:
            return
