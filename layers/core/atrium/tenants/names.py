"""Who holds a name. A marker decides, but a marker can outlive its reason: a creation or a renaming that broke off,
a deletion that did not come to its end. Such a one is taken over, by steps that no late writer can undo:

    no marker                                     claimed
    its tenant was never finished                 a creation goes on with that id; the item's own condition lets one win
    its tenant is deleted                         claimed for the newcomer
    its tenant is called otherwise                its `config_version` is raised first, so that a renaming that
                                                  is under way fails at its end, then claimed
    its tenant is called so                       `Conflict`
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
    """The names of all tenants."""

    registry: TenantRegistry
    store_of: Callable[[TenantId], TenantStore]
    clock: Clock

    def claim_new(self, name: str) -> TenantId:
        """Claim a name for a tenant to be created and return the id that it shall have; `Conflict` if it is taken."""
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
        raise Conflict("another call claims this name at the same time; try again")

    def claim_for(self, tenant: Tenant, name: str) -> None:
        """Claim a name for a tenant that changes its own; `Conflict` if it is taken."""
        for _ in range(_ATTEMPTS):
            marker = self.registry.find(name)
            if marker is not None and marker.tenant_id != tenant.id:
                holder = self.store_of(marker.tenant_id).get()
                if holder is None or holder.opening:
                    raise Conflict("a tenant of this name is being created")
                self._make_free(marker, holder, name)
            if self.registry.claim(name, tenant.id, replacing=marker):
                return
        raise Conflict("another call claims this name at the same time; try again")

    def _make_free(self, marker: NameMarker, holder: Tenant, name: str) -> None:
        """Make sure that the holder of a marker does not and will not bear the name; `Conflict` if it does."""
        if holder.status == "deleted":
            return
        if same_name(holder.name) == same_name(name) or not self.store_of(marker.tenant_id).fence(
            holder.config_version
        ):
            raise Conflict("another tenant has this name")
