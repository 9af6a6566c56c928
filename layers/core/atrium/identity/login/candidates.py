"""Finds the users to whom an email may belong. Decoys are added, so that every login does the same work.

A login that names a tenant has one candidate, and a login without a tenant has three. For each candidate, the items are
read and the password is verified once, even if the user does not exist. So neither the time nor the text of the
response reveals which users exist.
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
    """A tenant, and the user of this tenant who has the email of a login.

    `user` is None if the tenant has no such user. Both are None if the tenant does not exist or is not visible.
    """

    target: LoginTarget
    user: User | None
    tenant: Tenant | None

    def matches(self, password: str) -> bool:
        """Return whether a password is the user's password. Computes one hash, even if the user does not exist."""
        kept = self.user.password_hash if self.user else ""
        return verify_password(password, kept or DECOY_HASH) and bool(kept) and self.tenant is not None


@dataclass(frozen=True, slots=True)
class Place:
    """The tenant and user id of a candidate. If `user_id` is None, the user is found by email."""

    tenant_id: TenantId
    target: LoginTarget
    user_id: UserId | None


@dataclass(frozen=True, slots=True)
class Candidates:
    """Finds and reads the candidates of a login, in all tenants."""

    physical: PhysicalTable
    platform: PlatformTable
    table_of: Callable[[TenantId], TenantTable]

    def locate(self, email: str, tenant: str | None) -> list[Place]:
        """Return one place in the tenant with this id or name, or three places if `tenant` is None.

        Decoys are added if fewer than three tenants have the email. If more than three tenants have the email, all
        places are decoys, and the login must name its tenant.
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
        """Read the candidate of a place. Makes one batch read, and a second read if the user is found by email."""
        table, address = self.table_of(place.tenant_id), place.target.email
        second = keys.email(address) if place.user_id is None else keys.user(place.user_id)
        found = table.batch_get([keys.tenant(), second])
        item = found.get(second)
        if place.user_id is None:
            item = table.get(keys.user(UserId((item or {}).get("user_id", _NO_USER))))
        return _candidate(place, found.get(keys.tenant()), item)

    def find_tenant(self, place: Place) -> Tenant | None:
        """Return the tenant of a place if the tenant is visible, otherwise None."""
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
