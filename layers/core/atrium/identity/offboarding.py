"""Deletes tenants, and releases what a deleted tenant claims on the whole platform:

    its name                        can be claimed by other tenants                  `atrium.tenants.names`
    its issuers and audiences       can be registered by other tenants               at most 20
    its users' emails               are removed from the login index                 in batches of `ADDRESSES_MAX`

A claim is made in a transaction that checks that the tenant is not deleted. A claim in a platform item is released if
that transaction is refused. So a deleted tenant makes no new claims. Claims of an interrupted call are erased by the
sweeper with the tenant's data (`atrium.erasure`), or taken over by the next tenant (`IssuerRegistry`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from atrium.identity.providers.store import IdentityProviderStore, IssuerRegistry
from atrium.identity.users.store import UserStore
from atrium.kernel.ids import TenantId
from atrium.storage.table import PlatformTable, TenantTable
from atrium.tenants.service import TenantService

ADDRESSES_MAX = 1_000
"""Emails released in one batch. A call to delete a tenant releases one batch: 40 batch writes."""


@dataclass(frozen=True, slots=True)
class Offboarding:
    """Deletes tenants."""

    tenants: TenantService
    platform: PlatformTable
    table_of: Callable[[TenantId], TenantTable]

    def delete(self, tenant_id: str) -> None:
        """Delete a tenant. Raises `NotFound` if it is already deleted, after continuing its deletion."""
        self.tenants.delete(tenant_id, self.release)

    def release(self, tenant_id: TenantId) -> bool:
        """Release what a deleted tenant claims, with at most `ADDRESSES_MAX` emails; return whether nothing is left."""
        pairs = IdentityProviderStore(self.table_of(tenant_id)).list_pairs()
        IssuerRegistry(self.platform).release_all(tenant_id, pairs)
        return UserStore(self.table_of(tenant_id)).release_addresses(most=ADDRESSES_MAX)
