"""The operator's list of tenants, and the markers that keep tenant names unique. Both are platform items.

The list and the markers only show which tenants may exist and which names they may have. The tenant's item is
authoritative.
"""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from atrium.kernel.clock import format_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import Page, PageRequest, Position
from atrium.storage import platform_keys
from atrium.storage.keys import Key
from atrium.storage.table import PlatformTable, Query, TransactionRefused
from atrium.storage.writes import ANY, EXISTS, NEW, Delete, Operation, Put, Update
from atrium.tenants.model import same_name

_NAMES_READ = 1_000


@dataclass(frozen=True, slots=True)
class NameMarker:
    """The marker of a tenant name, with the tenant that claimed the name. `claim` is a random value for each claim."""

    tenant_id: TenantId
    claim: str


@dataclass(frozen=True, slots=True)
class TenantRegistry:
    """Reads and writes the tenant list and the tenant name markers."""

    table: PlatformTable

    def find(self, name: str) -> NameMarker | None:
        item = self.table.get(platform_keys.tenant_name(same_name(name)))
        return NameMarker(TenantId(item["tenant_id"]), item["claim"]) if item else None

    def claim(
        self, name: str, tenant_id: TenantId, *, replacing: NameMarker | None, registered_at: datetime | None = None
    ) -> bool:
        """Reserve a name for a tenant; return False if the stored marker is not equal to `replacing`.

        If `registered_at` is given, the same transaction adds the new tenant to the list.
        """
        marker = {"tenant_id": tenant_id, "claim": secrets.token_hex(8), "name": name}
        condition, values = (NEW, {}) if replacing is None else ("#claim = :claim", {"claim": replacing.claim})
        operations: list[Operation] = [Put(platform_keys.tenant_name(same_name(name)), marker, condition, values)]
        if registered_at is not None:
            entry = {"id": tenant_id, "name": name, "created_at": format_time(registered_at)}
            operations.append(Put(platform_keys.registered_tenant(tenant_id), entry, ANY))
        try:
            self.table.transact(operations)
        except TransactionRefused:
            return False
        return True

    def release(self, name: str, marker: NameMarker | None) -> None:
        """Delete the marker of a name, unless another claim has replaced it."""
        if marker is None:
            return
        values = {"tenant": marker.tenant_id, "claim": marker.claim}
        try:
            self.table.write(
                Delete(platform_keys.tenant_name(same_name(name)), "#tenant_id = :tenant AND #claim = :claim", values)
            )
        except ConditionFailed:
            return

    def mark_deleted(self, tenant_id: TenantId, record: Put, *, now: datetime) -> None:
        """Mark a tenant as deleted in the list, remove its name, and write the platform's audit record.

        Idempotent.
        """
        place, alive = platform_keys.registered_tenant(tenant_id), f"{EXISTS} AND attribute_not_exists(#deleted_at)"
        try:
            marking = Update(place, "SET #deleted_at = :now REMOVE #name", alive, {"now": format_time(now)})
            self.table.transact([marking, record])
        except TransactionRefused:
            with suppress(ConditionFailed):
                # An entry that an older version marked as deleted may still contain the name.
                self.table.write(Update(place, "REMOVE #name", EXISTS))

    def list_names(self, tenant_id: TenantId, position: Position | None) -> Page[Key]:
        """Return the keys of a tenant's markers among the next thousand name markers of all tenants.

        All markers must be searched, because an interrupted renaming leaves a marker to which no other item refers.
        """
        query = Query(
            "TENANT_NAME", limit=_NAMES_READ, position=position, where="#tenant_id = :id", values={"id": tenant_id}
        )
        return self.table.query_keys(query)

    def is_deleted(self, tenant_id: TenantId) -> bool:
        """Return whether a tenant is deleted. Deletion is final."""
        entry = self.table.get(platform_keys.registered_tenant(tenant_id))
        return entry is not None and "deleted_at" in entry

    def list(self, page: PageRequest) -> Page[TenantId]:
        """List the ids of the tenants that are registered and not deleted, oldest first."""
        query = Query("TENANTS", limit=page.limit, position=page.position, where="attribute_not_exists(#deleted_at)")
        return self.table.query(query).map(lambda item: TenantId(item["id"]))
