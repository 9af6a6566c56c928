"""All of a tenant's admission items, however many shards there are or were."""

from collections.abc import Mapping
from typing import Any

from atrium.kernel.pagination import LIMIT_MAX, Position
from atrium.storage import keys
from atrium.storage.queries import Query
from atrium.storage.table import TenantTable


def read_shards(table: TenantTable) -> dict[int, Mapping[str, Any]]:
    """Return the items by shard, strongly consistent: a read unit for 4 kB. One may be missing, or be left over."""
    found: dict[int, Mapping[str, Any]] = {}
    position: Position | None = None
    while True:
        page = table.query(Query(keys.admission(0).partition, limit=LIMIT_MAX, position=position))
        found |= {int(item["sk"]): item for item in page.items}
        position = page.position
        if position is None:
            return found
