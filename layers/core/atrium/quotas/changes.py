"""Changes to limits. A change modifies no counter and applies from the next admission (see the package docstring)."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from atrium.audit.service import AuditService
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed, NotFound, Unavailable
from atrium.quotas.limits import show_limits
from atrium.quotas.planning import plan_time
from atrium.quotas.rebuild.store import RebuildStore
from atrium.quotas.store import AdmissionStore
from atrium.storage import keys
from atrium.storage.table import Contended, TenantTable, TransactionRefused
from atrium.tenants.model import Tenant
from atrium.tenants.plans import PlanName
from atrium.tenants.store import TenantStore

_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class LimitChanges:
    """Changes one tenant's limits, together with the audit event and the new `config_version`, in one transaction."""

    table: TenantTable
    audit: AuditService
    clock: Clock

    def replace(self, own: Mapping[str, int]) -> None:
        """Replace all limits that are set on the tenant. Raise `NotFound` if the tenant does not exist."""
        self._change("tenant.limits", {"limits": dict(own)})

    def change_plan(self, plan: PlanName) -> None:
        """Change the tenant's plan and keep its own limits. Raise `NotFound` if the tenant does not exist."""
        self._change("tenant.plan", {"plan": plan})

    def _change(self, action: str, changes: Mapping[str, Any]) -> None:
        for _ in range(_ATTEMPTS):
            tenant = TenantStore(self.table).get()
            if tenant is None or not tenant.is_visible:
                raise NotFound("Tenant not found.")
            details = {"action": action, "resource": tenant.id, "before": _shown(tenant), **_shown(tenant, changes)}
            change = TenantStore(self.table).changing(changes, now=self.clock(), version=tenant.config_version)
            with suppress(TransactionRefused, Contended):
                self.table.transact([change, self.audit.recording("admin.change", details)])
                return
        raise Unavailable(internal="the tenant was changed concurrently in every attempt", retry_after_seconds=1)


def begin_counting(table: TenantTable, clock: Clock, scope_id: str) -> None:
    """Create the item of a scope whose first limits were set, and request a rebuild to fill the item. Idempotent."""
    store = AdmissionStore(table, clock)
    with suppress(ConditionFailed, Contended):
        table.write(plan_time(keys.admission(scope_id), store.item(None)))
    now = clock().astimezone(UTC)
    RebuildStore(table).request(now.date().replace(day=1), by=scope_id, now=now, repeats=True)


def _shown(tenant: Tenant, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    limits = tenant.limits if changes is None else changes.get("limits", tenant.limits)
    return {"plan": (changes or {}).get("plan", tenant.plan), "limits": show_limits(limits)}
