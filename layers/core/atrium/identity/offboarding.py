"""A tenant's end, as far as others feel it: what it claims on the whole platform is released.

    its name                        for a tenant that is to be called so             `atrium.tenants.names`
    issuers with audiences          for a tenant that is to register them            20 at the most
    its users' emails               in the index that every login asks               in portions: there may be many

A claim is made in a transaction that asserts that the tenant is not deleted, or, where it is the platform's own item,
is taken back when that transaction is refused. So what is listed once the tenant is deleted is all there will be. What
a call left that died is erased by the sweeper with the tenant's data (`atrium.erasure`), or taken over by whoever wants
it (`IssuerRegistry`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from atrium.identity.providers.store import IdentityProviderStore, IssuerRegistry
from atrium.identity.users.store import UserStore
from atrium.kernel.ids import TenantId
from atrium.storage.table import PlatformTable, TenantTable
from atrium.tenants.service import TenantService

ADDRESSES_MAX = 1_000
"""Users' emails that are released in one portion, which a call to delete a tenant does one of: forty batches."""


@dataclass(frozen=True, slots=True)
class Offboarding:
    """Deletes tenants."""

    tenants: TenantService
    platform: PlatformTable
    table_of: Callable[[TenantId], TenantTable]

    def delete(self, tenant_id: str) -> None:
        """Delete a tenant; `NotFound` if it is deleted already, whose deletion is gone on with all the same."""
        self.tenants.delete(tenant_id, self.release)

    def release(self, tenant_id: TenantId) -> bool:
        """Release what a deleted tenant claims, `ADDRESSES_MAX` emails at the most; whether nothing is left."""
        pairs = IdentityProviderStore(self.table_of(tenant_id)).list_pairs()
        IssuerRegistry(self.platform).release_all(tenant_id, pairs)
        return UserStore(self.table_of(tenant_id)).release_addresses(most=ADDRESSES_MAX)
