"""Which tenants' deletions have begun and may have work left: platform items, which the sweeper reads every minute.

An entry is written before anything of a deletion is, so that one that broke off anywhere is known. Its own call has
it to itself for a minute; then the sweeper ends what is left, looks once more for what came in at the last moment,
and removes the entry.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import TenantId
from atrium.storage import keys
from atrium.storage.table import PlatformTable, Query
from atrium.storage.writes import ANY, Delete, Put

OWN_SECONDS = 60
"""Longer than any call lasts, of the deletion and of what was under way beside it."""
_LISTED_MAX = 100


@dataclass(frozen=True, slots=True)
class Deletion:
    """A deletion that has begun; a repeated one begins anew."""

    tenant_id: TenantId
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class Deletions:
    """Every access to the list."""

    table: PlatformTable

    def begin(self, tenant_id: TenantId, *, now: datetime) -> None:
        item = {"id": tenant_id, "begun_at": format_time(now)}
        self.table.write(Put(keys.deletion(tenant_id), item, ANY))

    def list_left(self, *, now: datetime) -> list[Deletion]:
        """Return up to a hundred that no call has to itself any more. One query."""
        found = self.table.query(Query(keys.DELETIONS, limit=_LISTED_MAX)).items
        deletions = [Deletion(TenantId(item["id"]), parse_time(item["begun_at"])) for item in found]
        return [each for each in deletions if each.begun_at <= now - timedelta(seconds=OWN_SECONDS)]

    def end(self, deletion: Deletion) -> None:
        """Remove an entry, unless the deletion has begun anew."""
        values = {"begun": format_time(deletion.begun_at)}
        try:
            self.table.write(Delete(keys.deletion(deletion.tenant_id), "#begun_at = :begun", values))
        except ConditionFailed:
            return
