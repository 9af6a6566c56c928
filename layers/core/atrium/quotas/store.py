"""The table as admission uses it: admission items and those of tool calls, read in batches and written one by one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
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
from atrium.storage import keys, usage_keys
from atrium.storage.failures import Contended
from atrium.storage.keys import Key
from atrium.storage.queries import Query
from atrium.storage.table import TenantTable
from atrium.storage.writes import ANY, Put, Update

_SESSION_MARK_SECONDS = 3 * 86_400


@dataclass(frozen=True, slots=True)
class AdmissionStore:
    """One tenant's items. All reads are strongly consistent."""

    table: TenantTable
    clock: Clock

    def read(self, places: Iterable[Key]) -> dict[Key, AdmissionItem]:
        """Read items in one batch; one that does not exist is an empty item."""
        wanted = list(places)
        found = self.table.batch_get(wanted)
        return {place: self.item(found.get(place)) for place in wanted}

    def item(self, attributes: Mapping[str, Any] | None) -> AdmissionItem:
        return AdmissionItem(attributes, self.now())

    def apply(self, update: Update) -> AdmissionItem | None:
        """Write; None where it applied, else the item that stood there, or that another transaction was at."""
        try:
            self.table.write(update)
        except ConditionFailed as failed:
            return self.item(failed.item)
        except Contended:
            return self.item(self.table.get(update.key))
        return None

    def set_back(self, items: Mapping[Key, AdmissionItem]) -> None:
        """Set items back whose time is absurdly far ahead. Where nothing else is written, they would stay ahead."""
        for key, item in items.items():
            if item.is_ahead:
                self.apply(plan_time(key, item))

    def list(self) -> dict[str, AdmissionItem]:
        """Return every admission item by the id of its scope; those of an older layout are left out."""
        found = {str(item["sk"]): item for item in self._query(keys.admissions())}
        current = {name: item for name, item in found.items() if not is_old(name)}
        return {TENANT if name == "TENANT" else name: self.item(item) for name, item in current.items()}

    def remove_old(self) -> None:
        """Remove the admission items of the layout before: several for a tenant, and a partition for subjects."""
        old = [Key(keys.admissions(), str(item["sk"])) for item in self._query(keys.admissions())]
        apart = [Key(usage_keys.OLD_ADMISSIONS, str(item["sk"])) for item in self._query(usage_keys.OLD_ADMISSIONS)]
        self.table.delete_all([*(key for key in old if is_old(key.sort)), *apart])

    def unmark(self, scope_id: str) -> None:
        """Take an item without slots out of the sweeper's index."""
        update = ItemUpdate()
        for attribute in ("sweep_pk", "sweep_sk"):
            update.remove(attribute)
        for slots in ("slots", "late"):
            update.require("size({0}) < {1}", slots, 1)
        with suppress(ConditionFailed):
            self.table.write(update.build(keys.admission(scope_id)))

    def session_mark(self, session_id: SessionId, counted: Mapping[str, int]) -> Put:
        """Return the write that keeps when each scope's item counted a session that began without a turn.

        A rebuild counts the session by it, also when the session was deleted.
        """
        second = counted.get(TENANT, int(self.now()))
        item = {"c": {name or "tenant": at for name, at in counted.items()}, "ttl": second + _SESSION_MARK_SECONDS}
        return Put(usage_keys.begun(moment(second).date().isoformat(), session_id), item, ANY)

    def read_session_marks(self, day: date) -> Iterator[Mapping[str, int]]:
        """Yield when each scope's item counted a session, for the sessions of a UTC day that began without a turn."""
        for item in self._query(usage_keys.begun_day(day.isoformat())):
            yield {TENANT if name == "tenant" else name: at for name, at in item["c"].items()}

    def now(self) -> float:
        return self.clock().timestamp()

    def _query(self, partition: str) -> Iterator[dict[str, Any]]:
        query = Query(partition, limit=LIMIT_MAX)
        while True:
            page = self.table.query(query)
            yield from page.items
            if page.position is None:
                return
            query = replace(query, position=page.position)


def is_old(sort: str) -> bool:
    """Tell whether an admission item is one of the layout before, when a tenant had several."""
    return sort.isdigit()


def sweep_place(table: TenantTable, scope_id: str) -> tuple[str, str]:
    """Return where the sweeper finds an item that has slots: partition and sort key of its index."""
    sort = keys.admission_sweep_sort(table.tenant_id, scope_id or "TENANT")
    return keys.sweep_partition(keys.sweep_shard(sort)), sort


def places(scope_ids: Sequence[str]) -> dict[str, Key]:
    """Return the admission item of each scope."""
    return {each: keys.admission(each) for each in scope_ids}
