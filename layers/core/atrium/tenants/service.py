"""The operator's management of tenants.

A creation calls `open`, writes the other items of the tenant's partition, and calls `close`. `close` is one transaction
that makes the tenant and its first credentials visible. An interrupted creation is invisible, and a new creation with
the same name continues it.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from atrium.audit.model import Origin
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed, Conflict, NotFound, ValidationFailed
from atrium.kernel.ids import TenantId, is_id
from atrium.kernel.pagination import Page, PageRequest, Position
from atrium.storage.table import PlatformTable, TenantTable, TransactionRefused
from atrium.storage.writes import Operation, Put
from atrium.tenants.auditing import audit_of, platform_record
from atrium.tenants.deletions import Deletions
from atrium.tenants.model import Tenant, find_settings_fault, same_name
from atrium.tenants.names import Names
from atrium.tenants.plans import PlanName
from atrium.tenants.registry import TenantRegistry
from atrium.tenants.store import TenantStore

_READERS = 8
_ROUNDS_MAX = 10


@dataclass(frozen=True, slots=True)
class TenantFields:
    """The fields of a new tenant."""

    name: str
    plan: PlanName
    display_name: str = ""
    settings: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None


class TenantService:
    """The operator's operations on tenants. The routes check the scope.

    Changes are audited if there is an `origin`. Callers that only read tenants or continue deletions omit the origin.
    """

    def __init__(
        self,
        platform: PlatformTable,
        table_of: Callable[[TenantId], TenantTable],
        clock: Clock,
        origin: Origin | None = None,
    ) -> None:
        self._origin = origin
        self._registry = TenantRegistry(platform)
        self._deletions = Deletions(platform)
        self._table_of = table_of
        self._clock = clock
        self._names = Names(self._registry, self._store, clock)

    def open(self, fields: TenantFields) -> Tenant:
        """Start or resume the creation of a tenant, which is invisible until `close`.

        Raises `Conflict` if the name is taken, and `ValidationFailed` for invalid settings.
        """
        _check_settings(fields.settings or {})
        tenant_id = self._names.claim_new(fields.name)
        now = self._clock()
        wanted = Tenant(
            id=tenant_id,
            name=fields.name,
            display_name=fields.display_name or fields.name,
            plan=fields.plan,
            status="active",
            created_at=now,
            updated_at=now,
            settings=fields.settings or {},
            metadata=fields.metadata or {},
            opening=secrets.token_hex(8),
        )
        try:
            return self._store(tenant_id).open(wanted)
        except ConditionFailed as error:
            raise Conflict("another tenant has this name; choose another name") from error

    def close(self, tenant: Tenant, operations: Sequence[Operation]) -> Tenant:
        """Complete a creation and apply `operations` in the same transaction.

        Raises `Conflict` if a condition of the transaction is false.
        """
        store = self._store(tenant.id)
        try:
            store.table.transact([store.closing(tenant.opening), *operations, *self._records(tenant, "create")])
        except TransactionRefused as error:
            raise Conflict("another call is creating this tenant; try again") from error
        return self.get(tenant.id)

    def get(self, tenant_id: str) -> Tenant:
        """Return a tenant; raise `NotFound` if it does not exist or is deleted."""
        tenant = self._store(_known(tenant_id)).get()
        if tenant is None or not tenant.is_visible:
            raise NotFound("tenant not found")
        return tenant

    def list(self, page: PageRequest) -> Page[Tenant]:
        """List the tenants, oldest first. Costs at least one read unit per tenant."""
        found: list[Tenant] = []
        position: Position | None = page.position
        for _ in range(_ROUNDS_MAX):
            ids = self._registry.list(PageRequest(page.limit - len(found), position))
            with ThreadPoolExecutor(_READERS, thread_name_prefix="tenants") as pool:
                read = list(pool.map(lambda tenant_id: self._store(tenant_id).get(), ids.items))
            found += [tenant for tenant in read if tenant is not None and tenant.is_visible]
            position = ids.position
            if position is None or len(found) >= page.limit:
                break
        return Page(found, position)

    def change(self, tenant_id: str, changes: Mapping[str, Any]) -> Tenant:
        """Change the name, display name, plan, settings or metadata of a tenant.

        Raises `NotFound`, `ValidationFailed` for invalid settings, or `Conflict` if the name is taken.
        """
        _check_settings(changes.get("settings", {}))
        tenant = self.get(tenant_id)
        if not changes:
            return tenant
        name = changes.get("name", tenant.name)
        if same_name(name) != same_name(tenant.name):
            return self._rename(tenant, changes)
        if name != tenant.name:
            return self._change_unmodified(tenant, changes)
        records = self._records(tenant, "change", **changes)
        # An unchanged name is not written, because another tenant may have claimed it meanwhile.
        changes = {what: value for what, value in changes.items() if what != "name"}
        return self._written(lambda: self._store(tenant.id).change(changes, *records, now=self._clock()))

    def set_status(self, tenant_id: str, status: Literal["active", "suspended"], reason: str) -> Tenant:
        """Suspend or activate a tenant. Idempotent. The change takes effect when the authorizer's cache expires."""
        tenant = self.get(tenant_id)
        records = self._records(tenant, "suspend" if status == "suspended" else "activate", reason=reason)
        store = self._store(tenant.id)
        return self._written(lambda: store.set_status(status, reason, *records, now=self._clock()))

    def log_out(self, tenant_id: str, origin: Origin) -> None:
        """Invalidate all access and refresh tokens of a tenant, and append an audit event.

        API keys remain valid. Raises `NotFound`.
        """
        tenant, now = self.get(tenant_id), self._clock()
        store = self._store(tenant.id)
        audit = audit_of(tenant, store.table, origin, self._clock)
        try:
            recording = audit.recording("auth.logout", {"tenant": True})
            store.table.transact([store.ending_tokens(now=now), recording])
        except TransactionRefused as refused:
            raise NotFound("tenant not found") from refused

    def delete(self, tenant_id: str, release: Callable[[TenantId], object] = lambda _: None) -> None:
        """Delete a tenant: invalidate its credentials and release its name.

        `release` is called afterwards to release the tenant's other claims. A repeated call or the sweeper continues an
        interrupted deletion. The sweeper erases the tenant's data (`atrium.erasure`). Raises `NotFound` if the tenant
        does not exist or was already deleted.
        """
        now = self._clock()
        tenant = self._store(_known(tenant_id)).get()
        if tenant is None or tenant.opening:
            raise NotFound("tenant not found")
        self._deletions.begin(tenant.id, now=now)
        if tenant.status != "deleted":
            by = self._origin.principal if self._origin else ""
            self._store(tenant.id).mark_deleted(by=by, now=now)
        self.finish_deletion(tenant.id)
        release(tenant.id)
        if tenant.status == "deleted":
            raise NotFound("tenant not found")

    def finish_deletion(self, tenant_id: TenantId) -> bool:
        """Release the name of a deleted tenant and remove it from the list.

        Returns False if the tenant is not deleted.
        """
        tenant = self._store(tenant_id).get()
        if tenant is None or tenant.status != "deleted":
            return False
        marker = self._registry.find(tenant.name) if tenant.name else None
        if marker is not None and marker.tenant_id == tenant.id:
            self._registry.release(tenant.name, marker)
        origin = self._origin or Origin(tenant.deleted_by)
        record = platform_record("delete", tenant, origin, self._clock)
        self._registry.mark_deleted(tenant.id, record, now=self._clock())
        return True

    def get_with_deleted(self, tenant_id: str) -> Tenant:
        """Return a tenant, even if it is deleted; raise `NotFound` if it never existed."""
        tenant = self._store(_known(tenant_id)).get()
        if tenant is None or tenant.opening:
            raise NotFound("tenant not found")
        return tenant

    def _rename(self, tenant: Tenant, changes: Mapping[str, Any]) -> Tenant:
        old = self._registry.find(tenant.name)
        self._names.claim_for(tenant, changes["name"])
        renamed = self._change_unmodified(tenant, changes)
        if old is not None and old.tenant_id == tenant.id:
            self._registry.release(tenant.name, old)
        return renamed

    def _change_unmodified(self, tenant: Tenant, changes: Mapping[str, Any]) -> Tenant:
        """Change a tenant, including its name; raise `Conflict` if another call modified the tenant after the read."""
        records = self._records(tenant, "change", **changes)
        try:
            return self._store(tenant.id).rename(changes, *records, now=self._clock(), version=tenant.config_version)
        except ConditionFailed as error:
            raise Conflict("the tenant was modified by another call; try again") from error

    def _records(self, tenant: Tenant, action: str, **details: Any) -> tuple[Put, ...]:
        """Return the write of a change's audit event, or an empty tuple if there is no origin."""
        if self._origin is None:
            return ()
        base = {"action": f"tenant.{action}", "resource": tenant.id, "name": tenant.name, "plan": tenant.plan}
        audit = audit_of(tenant, self._table_of(tenant.id), self._origin, self._clock)
        return (audit.recording("admin.change", {**base, **details}),)

    def _store(self, tenant_id: TenantId) -> TenantStore:
        return TenantStore(self._table_of(tenant_id))

    @staticmethod
    def _written(write: Callable[[], Tenant]) -> Tenant:
        try:
            return write()
        except ConditionFailed as error:
            raise NotFound("tenant not found") from error


def _known(tenant_id: str) -> TenantId:
    if not is_id(tenant_id, "ten"):
        raise NotFound("tenant not found")
    return TenantId(tenant_id)


def _check_settings(settings: Mapping[str, Any]) -> None:
    fault = find_settings_fault(settings)
    if fault is not None:
        name, message = fault
        errors = [{"loc": ["body", "settings", name], "msg": message, "type": "value_error"}]
        raise ValidationFailed(extensions={"errors": errors})
