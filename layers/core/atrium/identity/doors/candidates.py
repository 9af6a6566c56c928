"""Who may be meant by an email: users in tenants, filled up with nobody, so that every login does the same work.

A login that names its tenant has one candidate, any other three; each is read in the same way and has its password
verified once, whether there is such a user or not. So neither time nor text tells who exists.
"""

from collections.abc import Callable
from dataclasses import dataclass

from atrium.identity.users.items import read_user
from atrium.identity.users.model import User, same_address
from atrium.identity.users.passwords import DECOY_HASH, verify_password
from atrium.kernel.ids import TenantId, UserId, is_id
from atrium.storage import keys
from atrium.storage.login import list_logins
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.tenants.model import Tenant
from atrium.tenants.registry import TenantRegistry
from atrium.tenants.store import TenantStore, read_tenant

CANDIDATES_MAX = 3
_NO_TENANT = TenantId("ten_" + "0" * 26)
_NO_USER = UserId("usr_" + "0" * 26)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tenant's user of the address; None where there is none. The tenant may be known although the user is not."""

    user: User | None
    tenant: Tenant | None

    def fits(self, password: str) -> bool:
        """Verify a password: one hash, whatever the candidate is."""
        kept = self.user.password_hash if self.user else ""
        return verify_password(password, kept or DECOY_HASH) and bool(kept) and self.tenant is not None


@dataclass(frozen=True, slots=True)
class Candidates:
    """Finds candidates across tenants."""

    physical: PhysicalTable
    platform: PlatformTable
    table_of: Callable[[TenantId], TenantTable]

    def in_tenant(self, email: str, tenant: str) -> list[Candidate]:
        """Return the one candidate of a tenant that is named by id or name. Three reads, or two for an id."""
        tenant_id = self._name_tenant(tenant)
        table, address = self.table_of(tenant_id), same_address(email)
        found = table.batch_get([keys.tenant(), keys.email(address)])
        marker = found.get(keys.email(address), {})
        user = table.get(keys.user(UserId(marker.get("user_id", _NO_USER))))
        return [_candidate(tenant_id, found.get(keys.tenant()), user, address)]

    def everywhere(self, email: str) -> list[Candidate]:
        """Return three candidates: all nobody where the email is in more tenants, because then one must be named."""
        address = same_address(email)
        found = list_logins(self.physical, address, limit=CANDIDATES_MAX + 1)
        known = found if len(found) <= CANDIDATES_MAX else []
        filled = [*known, *[(_NO_TENANT, _NO_USER)] * (CANDIDATES_MAX - len(known))]
        return [self._read(tenant_id, user_id, address) for tenant_id, user_id in filled]

    def find_tenant(self, tenant: str) -> Tenant | None:
        """Return the tenant that is named by id or name, if anybody may see it."""
        found = TenantStore(self.table_of(self._name_tenant(tenant))).get()
        return found if found is not None and found.is_visible else None

    def _read(self, tenant_id: TenantId, user_id: UserId, address: str) -> Candidate:
        place = keys.user(user_id)
        found = self.table_of(tenant_id).batch_get([keys.tenant(), place])
        return _candidate(tenant_id, found.get(keys.tenant()), found.get(place), address)

    def _name_tenant(self, tenant: str) -> TenantId:
        if is_id(tenant, "ten"):
            return TenantId(tenant)
        marker = TenantRegistry(self.platform).find(tenant) if tenant and "#" not in tenant else None
        return marker.tenant_id if marker else _NO_TENANT


def _candidate(
    tenant_id: TenantId, tenant_item: dict[str, object] | None, user_item: dict[str, object] | None, address: str
) -> Candidate:
    tenant = read_tenant(tenant_item) if tenant_item else None
    user = read_user(user_item, tenant_id) if user_item else None
    if tenant is None or not tenant.is_visible:
        return Candidate(None, None)
    # The index lags behind, and a user may have another address by now.
    return Candidate(user if user and same_address(user.email) == address else None, tenant)
