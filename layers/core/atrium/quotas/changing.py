"""A tenant's own limits, changed by the operator: the change, its audit and a new `config_version` in one transaction.

They are read with each admission, so they hold from the next one on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from atrium.audit.service import AuditService
from atrium.kernel.clock import Clock
from atrium.kernel.errors import Conflict, NotFound
from atrium.quotas.limits import show_limits
from atrium.storage.failures import TransactionRefused
from atrium.storage.table import TenantTable
from atrium.tenants.store import TenantStore

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class LimitChanges:
    """Changes one tenant's limits."""

    table: TenantTable
    audit: AuditService
    clock: Clock

    def replace(self, own: Mapping[str, int]) -> None:
        """Give a tenant these limits of its own and no others; `NotFound`, or `Conflict` if it changes all the time."""
        store = TenantStore(self.table)
        for _ in range(_ATTEMPTS):
            tenant = store.get()
            if tenant is None or not tenant.is_visible:
                raise NotFound("there is no such tenant")
            details = {
                "action": "tenant.limits",
                "resource": tenant.id,
                "before": show_limits(tenant.limits),
                "limits": show_limits(own),
            }
            change = store.changing({"limits": dict(own)}, now=self.clock(), version=tenant.config_version)
            try:
                self.table.transact([change, self.audit.recording("admin.change", details)])
            except TransactionRefused:
                continue
            return
        raise Conflict("the tenant was changed by other calls at the same time; try again")
