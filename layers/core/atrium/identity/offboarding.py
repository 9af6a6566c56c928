"""Deletes tenants, and releases the platform-wide claims of a deleted tenant:

    its name                        can be claimed by other tenants                  `atrium.tenants.names`
    its issuers and audiences       can be registered by other tenants               at most 20
    its users' emails               are removed from the login index                 in batches of `ADDRESSES_MAX`

A claim is made in a transaction that checks that the tenant is not deleted. If that transaction is refused, a claim in
a platform item is released. So a deleted tenant cannot make new claims. If a call was interrupted, the sweeper erases
its claims with the tenant's data (`atrium.erasure`), or the next tenant replaces them (`IssuerRegistry`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from atrium.identity.providers.store import IdentityProviderStore, IssuerRegistry
from atrium.identity.users.store import UserStore
from atrium.kernel.ids import TenantId
from atrium.storage.table import PlatformTable, TenantTable
from atrium.tenants.service import TenantService

ADDRESSES_MAX = 1_000
"""Number of emails that are released in one batch. A call to delete a tenant releases one batch (40 batch writes)."""


@dataclass(frozen=True, slots=True)
class Offboarding:
    """Deletes tenants and releases their claims."""

    tenants: TenantService
    platform: PlatformTable
    table_of: Callable[[TenantId], TenantTable]

    def delete(self, tenant_id: str) -> None:
        """Delete a tenant. If it is already deleted, continue its deletion and raise `NotFound`."""
        self.tenants.delete(tenant_id, self.release)

    def release(self, tenant_id: TenantId) -> bool:
        """Release the claims of a deleted tenant, at most `ADDRESSES_MAX` emails.

        Return whether all claims are released.
        """
        pairs = IdentityProviderStore(self.table_of(tenant_id)).list_pairs()
        IssuerRegistry(self.platform).release_all(tenant_id, pairs)
        return UserStore(self.table_of(tenant_id)).release_addresses(most=ADDRESSES_MAX)
