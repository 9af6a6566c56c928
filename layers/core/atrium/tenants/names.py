"""Claims unique tenant names. A marker item reserves a name for a tenant.

A marker can be stale after an interrupted creation, renaming or deletion. A new claim replaces a stale marker in steps
that a delayed writer cannot undo. The steps depend on the tenant of the marker:

    there is no marker                            the name is claimed
    the tenant's creation is incomplete           a creation continues with the same tenant id, and only one call can
                                                  complete it; a renaming raises `Conflict`
    the tenant is deleted                         the name is claimed
    the tenant has another name                   its `config_version` is incremented, so that a concurrent renaming
                                                  fails; then the name is claimed
    the tenant has this name                      `Conflict` is raised
"""

from collections.abc import Callable
from dataclasses import dataclass

from atrium.kernel.clock import Clock
from atrium.kernel.errors import Conflict
from atrium.kernel.ids import TenantId, mint_tenant_id
from atrium.tenants.model import Tenant, same_name
from atrium.tenants.registry import NameMarker, TenantRegistry
from atrium.tenants.store import TenantStore

_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Names:
    """Claims tenant names. A name is unique among all tenants."""

    registry: TenantRegistry
    store_of: Callable[[TenantId], TenantStore]
    clock: Clock

    def claim_new(self, name: str) -> TenantId:
        """Claim a name for a new tenant and return the tenant's id; raise `Conflict` if the name is taken."""
        for _ in range(_ATTEMPTS):
            marker = self.registry.find(name)
            if marker is not None:
                holder = self.store_of(marker.tenant_id).get()
                if holder is None or holder.opening:
                    return marker.tenant_id
                self._make_free(marker, holder, name)
            now = self.clock()
            tenant_id = mint_tenant_id(now)
            if self.registry.claim(name, tenant_id, replacing=marker, registered_at=now):
                return tenant_id
        raise Conflict("another call is claiming this name; try again")

    def claim_for(self, tenant: Tenant, name: str) -> None:
        """Claim a new name for an existing tenant; raise `Conflict` if the name is taken."""
        for _ in range(_ATTEMPTS):
            marker = self.registry.find(name)
            if marker is not None and marker.tenant_id != tenant.id:
                holder = self.store_of(marker.tenant_id).get()
                if holder is None or holder.opening:
                    raise Conflict("a tenant with this name is being created; choose another name")
                self._make_free(marker, holder, name)
            if self.registry.claim(name, tenant.id, replacing=marker):
                return
        raise Conflict("another call is claiming this name; try again")

    def _make_free(self, marker: NameMarker, holder: Tenant, name: str) -> None:
        """Ensure that the marker's tenant does not have this name and cannot acquire it; raise `Conflict` otherwise."""
        if holder.status == "deleted":
            return
        if same_name(holder.name) == same_name(name) or not self.store_of(marker.tenant_id).fence(
            holder.config_version
        ):
            raise Conflict("another tenant has this name; choose another name")
