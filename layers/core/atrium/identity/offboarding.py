"""Deletes tenants, and releases the platform-wide claims of a deleted tenant:

    name                      can be claimed by another tenant                `atrium.tenants.names`
    issuers and audiences     can be registered by another tenant             at most 20
    emails of the users       are removed from the login index                in batches of `ADDRESSES_MAX`

A deleted tenant cannot make new claims, because each claim needs a transaction that checks the tenant's status. If this
transaction is refused, a platform item that was written before it is deleted. If a deletion is interrupted, the sweeper
releases the remaining claims when it erases the tenant's data (`atrium.erasure`). Another tenant that needs a remaining
issuer and audience can also replace the claim (`IssuerRegistry`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from atrium.identity.providers.store import IdentityProviderStore, IssuerRegistry
from atrium.identity.users.store import UserStore
from atrium.kernel.ids import TenantId
from atrium.storage.table import PlatformTable, TenantTable
from atrium.tenants.service import TenantService

ADDRESSES_MAX = 1_000
"""The maximum number of emails that one call releases, with up to 40 batch writes."""


@dataclass(frozen=True, slots=True)
class Offboarding:
    """Deletes tenants and releases their platform-wide claims."""

    tenants: TenantService
    platform: PlatformTable
    table_of: Callable[[TenantId], TenantTable]

    def delete(self, tenant_id: str) -> None:
        """Delete a tenant and release its claims, at most `ADDRESSES_MAX` emails.

        Raises `NotFound` if the tenant does not exist. If the tenant is already deleted, continues an interrupted
        deletion, and then raises `NotFound`.
        """
        self.tenants.delete(tenant_id, self.release)

    def release(self, tenant_id: TenantId) -> bool:
        """Release the claims of a deleted tenant; return whether all claims are released.

        One call releases at most `ADDRESSES_MAX` emails.
        """
        pairs = IdentityProviderStore(self.table_of(tenant_id)).list_pairs()
        IssuerRegistry(self.platform).release_all(tenant_id, pairs)
        return UserStore(self.table_of(tenant_id)).release_addresses(most=ADDRESSES_MAX)
