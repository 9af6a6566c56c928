"""Reads admission items and tool call items in batches, and writes them one by one."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import SessionId
from atrium.kernel.pagination import LIMIT_MAX
from atrium.quotas.item import AdmissionItem, ItemUpdate
from atrium.quotas.limits import moment
from atrium.quotas.model import TENANT
from atrium.quotas.planning import plan_time
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import Contended, Query, TenantTable
from atrium.storage.writes import ANY, Put, Update

_SESSION_MARK_SECONDS = 3 * 86_400


@dataclass(frozen=True, slots=True)
class AdmissionStore:
    """Reads and writes one tenant's admission items. All reads are strongly consistent."""

    table: TenantTable
    clock: Clock

    def read(self, places: Iterable[Key]) -> dict[Key, AdmissionItem]:
        """Read items in one batch. An item that does not exist is returned as an empty item."""
        wanted = list(places)
        found = self.table.batch_get(wanted)
        return {place: self.item(found.get(place)) for place in wanted}

    def item(self, attributes: Mapping[str, Any] | None) -> AdmissionItem:
        return AdmissionItem(attributes, self.now())

    def apply(self, update: Update) -> AdmissionItem | None:
        """Write an update. Return None on success, or the current item after a failed condition or a conflict."""
        try:
            self.table.write(update)
        except ConditionFailed as failed:
            return self.item(failed.item)
        except Contended:
            return self.item(self.table.get(update.key))
        return None

    def set_back(self, items: Mapping[Key, AdmissionItem]) -> None:
        """Set back the time of items that are too far ahead. Called after a rejection, which makes no other write."""
        for key, item in items.items():
            if item.is_ahead:
                self.apply(plan_time(key, item))

    def list(self) -> dict[str, AdmissionItem]:
        """Return all admission items by scope id, except items of the previous layout."""
        found = {str(item["sk"]): item for item in self._query(keys.admissions())}
        current = {name: item for name, item in found.items() if not is_old(name)}
        return {TENANT if name == "TENANT" else name: self.item(item) for name, item in current.items()}

    def old_scopes(self) -> set[str]:
        """Return the users, API keys and agents with counters in the previous layout. A rebuild creates their items."""
        tenant = self.table.get(keys.tenant()) or {}
        return {*tenant.get("residents", ()), *(str(item["sk"]) for item in self._query(keys.OLD_ADMISSIONS))}

    def remove_old(self) -> None:
        """Delete the items of the previous layout: several items of the tenant, and one partition for other scopes."""
        old = [Key(keys.admissions(), str(item["sk"])) for item in self._query(keys.admissions())]
        apart = [Key(keys.OLD_ADMISSIONS, str(item["sk"])) for item in self._query(keys.OLD_ADMISSIONS)]
        self.table.delete_all([*(key for key in old if is_old(key.sort)), *apart])

    def unmark(self, scope_id: str) -> None:
        """Remove an item without slots from the sweeper's index."""
        update = ItemUpdate()
        for attribute in ("sweep_pk", "sweep_sk"):
            update.remove(attribute)
        for slots in ("slots", "late"):
            update.require("size({0}) < {1}", slots, 1)
        with suppress(ConditionFailed, Contended):
            self.table.write(update.build(keys.admission(scope_id)))

    def session_mark(self, session_id: SessionId, counted: Mapping[str, int]) -> Put:
        """Return the write that stores the second in which each scope counted a session. Rebuilds read this record."""
        second = counted.get(TENANT, int(self.now()))
        item = {"c": {name or "tenant": at for name, at in counted.items()}, "ttl": second + _SESSION_MARK_SECONDS}
        return Put(keys.begun(moment(second).date().isoformat(), session_id), item, ANY)

    def read_session_marks(self, day: date) -> Iterator[Mapping[str, int]]:
        """Yield the records of `session_mark` for a UTC day: the second in which each scope counted a session."""
        for item in self._query(keys.begun_day(day.isoformat())):
            yield {TENANT if name == "tenant" else name: at for name, at in item["c"].items()}

    def now(self) -> float:
        return self.clock().timestamp()

    def _query(self, partition: str) -> Iterator[dict[str, Any]]:
        return self.table.query_all(Query(partition, limit=LIMIT_MAX))


def is_old(sort: str) -> bool:
    """Return whether a sort key is from the previous layout, in which a tenant had several admission items."""
    return sort.isdigit()


def sweep_place(table: TenantTable, scope_id: str) -> tuple[str, str]:
    """Return the partition and sort key of an item in the sweeper's index."""
    sort = keys.admission_sweep_sort(table.tenant_id, scope_id or "TENANT")
    return keys.sweep_partition(keys.sweep_shard(sort)), sort
