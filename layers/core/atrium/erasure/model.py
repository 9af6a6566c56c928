"""The parameters and results of an eraser."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from atrium.kernel.pagination import LIMIT_MAX, Position
from atrium.storage.blobs import TenantBlobs
from atrium.storage.table import BoundTable, PlatformTable, Query, TenantTable
from atrium.tenants.model import Tenant

PAGE = LIMIT_MAX


@dataclass(frozen=True, slots=True)
class Target:
    """The tenant to erase. `may_take_all` is true if none of the tenant's data can still be in use.

    `waits` is true if this pass has already skipped data that was in use.
    """

    tenant: Tenant
    table: TenantTable
    platform: PlatformTable
    blobs: TenantBlobs
    now: datetime
    may_take_all: bool
    waits: bool


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one step: the numbers of removed items and blobs, and the position of the next step.

    `is_done` is true if the eraser needs no further step. `waits` is true if the step skipped data that was in use.
    """

    items: int = 0
    blobs: int = 0
    position: Position | None = None
    is_done: bool = True
    waits: bool = False


type Eraser = Callable[[Target, Position | None], Step]


def erase_page(table: BoundTable, partition: str) -> tuple[int, bool]:
    """Delete up to `PAGE` items of a partition. Return their number, and whether the partition is now empty."""
    page = table.query_keys(Query(partition, limit=PAGE))
    table.delete_all(page.items)
    return len(page.items), page.position is None


def erase_whole(table: BoundTable, partition: str) -> int:
    """Delete all items of a small partition and return their number."""
    items, is_done = erase_page(table, partition)
    while not is_done:
        more, is_done = erase_page(table, partition)
        items += more
    return items


def eraser_of(partition: str) -> Eraser:
    """Return an eraser that deletes one partition of the tenant."""

    def erase(target: Target, _position: Position | None) -> Step:
        items, is_done = erase_page(target.table, partition)
        return Step(items, is_done=is_done)

    return erase
