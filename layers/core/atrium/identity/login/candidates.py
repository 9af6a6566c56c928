"""Finds the users that an email may belong to, padded with decoys, so that every login does the same work.

A login with a tenant has one candidate; a login without a tenant has three. Each candidate is read in the same way and
its password is verified once, whether the user exists or not. So neither the response time nor the text reveals which
users exist.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from atrium.identity.login.throttles import LoginTarget
from atrium.identity.users.items import read_user
from atrium.identity.users.model import User, same_address
from atrium.identity.users.passwords import DECOY_HASH, verify_password
from atrium.kernel.ids import TenantId, UserId, is_id
from atrium.storage import keys
from atrium.storage.login import list_logins
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.tenants.model import Tenant, same_name
from atrium.tenants.registry import TenantRegistry
from atrium.tenants.store import TenantStore, read_tenant

CANDIDATES_MAX = 3
_NO_TENANT = TenantId("ten_" + "0" * 26)
_NO_USER = UserId("usr_" + "0" * 26)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tenant and its user with the email of a login. Either may be None.

    `tenant` may be set although there is no such user.
    """

    target: LoginTarget
    user: User | None
    tenant: Tenant | None

    def matches(self, password: str) -> bool:
        """Verify a password. Computes one hash, whether the user exists or not."""
        kept = self.user.password_hash if self.user else ""
        return verify_password(password, kept or DECOY_HASH) and bool(kept) and self.tenant is not None


@dataclass(frozen=True, slots=True)
class Place:
    """The location of a candidate. If `user_id` is None, the user is found by the email."""

    tenant_id: TenantId
    target: LoginTarget
    user_id: UserId | None


@dataclass(frozen=True, slots=True)
class Candidates:
    """Finds candidates across tenants."""

    physical: PhysicalTable
    platform: PlatformTable
    table_of: Callable[[TenantId], TenantTable]

    def locate(self, email: str, tenant: str | None) -> list[Place]:
        """Return the locations to read: the tenant with this id or name, otherwise three tenants.

        If more than three tenants have the email, all locations are decoys, and the login must name its tenant.
        """
        address = same_address(email)
        if tenant is not None:
            tenant_id = self._name_tenant(tenant)
            key = same_name(tenant) if tenant_id == _NO_TENANT else tenant_id
            return [Place(tenant_id, LoginTarget(key, address, "NAMED"), None)]
        found = list_logins(self.physical, address, limit=CANDIDATES_MAX + 1)
        known = found if len(found) <= CANDIDATES_MAX else []
        places = [Place(tenant_id, LoginTarget(tenant_id, address, "ANY"), user_id) for tenant_id, user_id in known]
        decoys = range(len(places), CANDIDATES_MAX)
        return [
            *places,
            *(Place(_NO_TENANT, LoginTarget(f"decoy {at}", address, "ANY", is_decoy=True), _NO_USER) for at in decoys),
        ]

    def read(self, place: Place) -> Candidate:
        """Return the candidate at a location. One read, or two if the user is found by the email."""
        table, address = self.table_of(place.tenant_id), place.target.email
        second = keys.email(address) if place.user_id is None else keys.user(place.user_id)
        found = table.batch_get([keys.tenant(), second])
        item = found.get(second)
        if place.user_id is None:
            item = table.get(keys.user(UserId((item or {}).get("user_id", _NO_USER))))
        return _candidate(place, found.get(keys.tenant()), item)

    def find_tenant(self, place: Place) -> Tenant | None:
        """Return the tenant at a location if it is visible, otherwise None."""
        found = TenantStore(self.table_of(place.tenant_id)).get()
        return found if found is not None and found.is_visible else None

    def _name_tenant(self, tenant: str) -> TenantId:
        if is_id(tenant, "ten"):
            return TenantId(tenant)
        marker = TenantRegistry(self.platform).find(tenant) if tenant and "#" not in tenant else None
        return marker.tenant_id if marker else _NO_TENANT


def _candidate(place: Place, tenant_item: dict[str, Any] | None, user_item: dict[str, Any] | None) -> Candidate:
    tenant = read_tenant(tenant_item) if tenant_item else None
    user = read_user(user_item, place.tenant_id) if user_item else None
    if tenant is None or not tenant.is_visible:
        return Candidate(place.target, None, None)
    # The index is eventually consistent, so the user may have a different email now.
    return Candidate(place.target, user if user and same_address(user.email) == place.target.email else None, tenant)
