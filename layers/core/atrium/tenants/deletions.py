"""Which tenants' deletions have begun and may have work left: platform items, which the sweeper reads every minute.

An entry is written before anything of a deletion is, so that one that broke off anywhere is known. Its own call has
it to itself for a minute; then the sweeper erases the tenant's data in steps, notes after each where the next one
begins, and removes the entry when nothing is left.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import LIMIT_MAX, Position
from atrium.storage import keys
from atrium.storage.table import PlatformTable, Query
from atrium.storage.writes import ANY, Delete, Update

OWN_SECONDS = 60
"""Longer than any call lasts, of the deletion and of what was under way beside it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an erasure is: `phase` and `position` are where its next step begins, an empty phase is between passes.

    `is_last`: this pass began when nothing could write any more. `waits`: the pass left what was in use. `items` and
    `blobs` were removed so far; a step that died before it was noted is missing in them.
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
    """A deletion that has begun. A repeated call begins it anew, and its erasure goes on where it was."""

    tenant_id: TenantId
    begun_at: datetime
    progress: Progress = Progress()


@dataclass(frozen=True, slots=True)
class Deletions:
    """Every access to the list."""

    table: PlatformTable

    def begin(self, tenant_id: TenantId, *, now: datetime) -> None:
        values = {"id": tenant_id, "now": format_time(now)}
        self.table.write(Update(keys.deletion(tenant_id), "SET #id = :id, #begun_at = :now", ANY, values))

    def find(self, tenant_id: TenantId) -> Deletion | None:
        item = self.table.get(keys.deletion(tenant_id))
        return _read(item) if item else None

    def list_left(self, *, now: datetime) -> list[Deletion]:
        """Return those that no call has to itself any more. One query for a hundred."""
        found: list[Deletion] = []
        position: Position | None = None
        while True:
            page = self.table.query(Query(keys.DELETIONS, limit=LIMIT_MAX, position=position))
            found += map(_read, page.items)
            position = page.position
            if position is None:
                return [each for each in found if each.begun_at <= now - timedelta(seconds=OWN_SECONDS)]

    def note(self, deletion: Deletion, progress: Progress) -> None:
        """Note how far an erasure is; nothing if another call has ended it."""
        values = {name: value for name, value in asdict(progress).items() if name not in _COUNTED}
        counts = {name: getattr(progress, name) - getattr(deletion.progress, name) for name in _COUNTED}
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in values)
        expression += " ADD " + ", ".join(f"#{name} :{name}" for name in counts)
        try:
            update = Update(keys.deletion(deletion.tenant_id), expression, "attribute_exists(pk)", {**values, **counts})
            self.table.write(update)
        except ConditionFailed:
            return

    def end(self, deletion: Deletion) -> None:
        """Remove an entry, unless the deletion has begun anew."""
        values = {"begun": format_time(deletion.begun_at)}
        try:
            self.table.write(Delete(keys.deletion(deletion.tenant_id), "#begun_at = :begun", values))
        except ConditionFailed:
            return


_COUNTED = ("items", "blobs")


def _read(item: Mapping[str, Any]) -> Deletion:
    default = asdict(Progress())
    progress = Progress(**{name: item.get(name, default[name]) for name in default})
    return Deletion(TenantId(item["id"]), parse_time(item["begun_at"]), progress)
