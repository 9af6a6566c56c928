"""The list of tenant deletions that were started and may be incomplete.

Each deletion has an entry, which is a platform item. The sweeper reads all entries every minute.

The entry is the first write of a deletion, so an interrupted deletion is always in the list. In the first minute, only
the deletion call itself processes the deletion. After that, the sweeper erases the tenant's data in steps, and stores
the position of the next step in the entry after each step. When all data is erased, the sweeper removes the entry.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import LIMIT_MAX, Position
from atrium.storage import platform_keys
from atrium.storage.table import PlatformTable, Query
from atrium.storage.writes import ANY, Delete, Update

OWN_SECONDS = 60
"""Seconds after which the sweeper continues a deletion. A deletion call always ends earlier."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of an erasure. The next step starts at `phase` and `position`. Between passes, `phase` is empty.

    `is_last` is true if no call could still write data when the pass started. `waits` is true if the pass skipped data
    that was in use. `items` and `blobs` are the numbers of removed items and blobs. They do not include a step that was
    interrupted before its progress was stored.
    """

    phase: str = ""
    position: Position | None = None
    passes: int = 0
    is_last: bool = False
    waits: bool = False
    items: int = 0
    blobs: int = 0


@dataclass(frozen=True, slots=True)
class Deletion:
    """A tenant deletion that was started at `begun_at`.

    If the deletion call is repeated, `begun_at` changes, and the erasure continues at the stored position.
    """

    tenant_id: TenantId
    begun_at: datetime
    progress: Progress = Progress()


@dataclass(frozen=True, slots=True)
class Deletions:
    """Reads and writes the list of started deletions."""

    table: PlatformTable

    def begin(self, tenant_id: TenantId, *, now: datetime) -> None:
        values = {"id": tenant_id, "now": format_time(now)}
        self.table.write(Update(platform_keys.deletion(tenant_id), "SET #id = :id, #begun_at = :now", ANY, values))

    def find(self, tenant_id: TenantId) -> Deletion | None:
        item = self.table.get(platform_keys.deletion(tenant_id))
        return _read(item) if item else None

    def list_left(self, *, now: datetime) -> list[Deletion]:
        """Return the deletions that started at least `OWN_SECONDS` ago. Costs one query per hundred entries."""
        found = map(_read, self.table.query_all(Query(platform_keys.DELETIONS, limit=LIMIT_MAX)))
        return [each for each in found if each.begun_at <= now - timedelta(seconds=OWN_SECONDS)]

    def note(self, deletion: Deletion, progress: Progress) -> None:
        """Store the progress of an erasure. Does nothing if another call has removed the entry."""
        values = {name: value for name, value in asdict(progress).items() if name not in _COUNTED}
        counts = {name: getattr(progress, name) - getattr(deletion.progress, name) for name in _COUNTED}
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in values)
        expression += " ADD " + ", ".join(f"#{name} :{name}" for name in counts)
        try:
            update = Update(
                platform_keys.deletion(deletion.tenant_id), expression, "attribute_exists(pk)", {**values, **counts}
            )
            self.table.write(update)
        except ConditionFailed:
            return

    def end(self, deletion: Deletion) -> None:
        """Remove the entry of a deletion, unless the deletion was started again."""
        values = {"begun": format_time(deletion.begun_at)}
        try:
            self.table.write(Delete(platform_keys.deletion(deletion.tenant_id), "#begun_at = :begun", values))
        except ConditionFailed:
            return


_COUNTED = ("items", "blobs")


def _read(item: Mapping[str, Any]) -> Deletion:
    default = asdict(Progress())
    progress = Progress(**{name: item.get(name, default[name]) for name in default})
    return Deletion(TenantId(item["id"]), parse_time(item["begun_at"]), progress)
