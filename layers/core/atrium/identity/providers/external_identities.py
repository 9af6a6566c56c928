"""Who an issuer's subject is among the tenant's users. Once known, the subject decides, never again the email: whoever
is given another's address at the issuer does not become him here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from atrium.audit.service import AuditService
from atrium.identity.providers.mapping import Profile
from atrium.identity.providers.model import Entrance, person_digest
from atrium.identity.users.deletions import was_deleted_since
from atrium.identity.users.model import User, same_address
from atrium.identity.users.store import UserChanged, UsersFull, UserStore, read_user
from atrium.kernel.clock import Clock
from atrium.kernel.errors import Conflict, Unavailable
from atrium.kernel.ids import UserId, mint_user_id
from atrium.storage import keys, provider_keys
from atrium.storage.keys import Key
from atrium.storage.table import TenantTable
from atrium.storage.writes import NEW, Put
from atrium.tenants.counts import count_exceeded
from atrium.tenants.model import Tenant
from atrium.tenants.plans import PLANS

NO_EMAIL = "the subject has no verified email"
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class UnknownSubject:
    """The issuer's word is good, but the subject is none of the tenant's users, and may not become one."""

    reason: str


@dataclass(frozen=True, slots=True)
class ExternalIdentities:
    """Every access to what subjects are known as in one tenant."""

    table: TenantTable
    audit: AuditService
    clock: Clock

    def find(self, entrance: Entrance, subject: str, profile: Profile, tenant: Tenant) -> User | UnknownSubject:
        """Return the user of a subject, as `recognise` does, reading what is known of it first."""
        return self.recognise(entrance, subject, profile, tenant, self._read_link(entrance, subject))

    def recognise(
        self,
        entrance: Entrance,
        subject: str,
        profile: Profile,
        tenant: Tenant,
        link: Mapping[str, Any] | None,
        found: Mapping[Key, Mapping[str, Any]] = MappingProxyType({}),
        *,
        issued_at: int | None = None,
    ) -> User | UnknownSubject:
        """Return the user: whom the subject is linked to, else who has the email, else a new one where that is wanted.

        The second and the third are linked for good, with a record. `CountExceeded` where the tenant is full. `link` is
        what the table has on the subject; a user whom the same read brought is not read again. `issued_at` is when the
        token was issued, None where the issuer was asked just now; one from before its user's deletion finds nobody.
        """
        known = found.get(keys.user(UserId(link["user_id"]))) if link else None
        if known is not None:
            return read_user(known, self.table.tenant_id)
        for _ in range(_ATTEMPTS):
            user = self._read_user(UserId(link["user_id"])) if link else None
            if user is not None:
                return user
            if was_deleted_since(self.table, link["user_id"] if link else "", profile.email, issued_at):
                return UnknownSubject("the token was issued before its user was deleted")
            user = self._find_by_email(profile.email)
            if user is not None:
                made = user if user.status == "suspended" else self._link(entrance, subject, user, link)
            elif not profile.email or not entrance.provision_users:
                return UnknownSubject("no user has the subject's email" if profile.email else NO_EMAIL)
            else:
                made = self._provision(entrance, subject, profile, tenant, link)
            if made is not None:
                return made
            link = self._read_link(entrance, subject)
        raise Unavailable(internal="a subject was linked by others at the same time", retry_after_seconds=1)

    def _read_link(self, entrance: Entrance, subject: str) -> Mapping[str, Any] | None:
        place = provider_keys.external_identity(person_digest(entrance.issuer, subject))
        return self.table.batch_get([place]).get(place)

    def _find_by_email(self, email: str) -> User | None:
        if not email:
            return None
        place = keys.email(same_address(email))
        marker = self.table.batch_get([place]).get(place)
        return self._read_user(UserId(marker["user_id"])) if marker else None

    def _read_user(self, user_id: UserId) -> User | None:
        place = keys.user(user_id)
        found = self.table.batch_get([place]).get(place)
        return read_user(found, self.table.tenant_id) if found else None

    def _link(self, entrance: Entrance, subject: str, user: User, stale: Mapping[str, Any] | None) -> User | None:
        """Link a subject to a user, who has thereby accepted his invitation; None if another call was first."""
        after = replace(user, status="active", one_time_token=None if user.status == "invited" else user.one_time_token)
        after = replace(after, updated_at=self.clock())
        record = self.audit.recording("auth.login", _told(entrance, user.id, "linked"))
        try:
            UserStore(self.table).change(user, after, _linking(entrance, subject, user.id, stale), record)
        except (UserChanged, Conflict):
            return None
        return after

    def _provision(
        self,
        entrance: Entrance,
        subject: str,
        profile: Profile,
        tenant: Tenant,
        stale: Mapping[str, Any] | None,
    ) -> User | None:
        """Make a user of a newcomer, if the tenant may have one more; None if another call was first."""
        now = self.clock()
        user = User(
            id=mint_user_id(now),
            tenant_id=tenant.id,
            email=profile.email,
            role=profile.role or entrance.default_role,
            status="active",
            created_at=now,
            updated_at=now,
            name=profile.name,
        )
        maximum = int(tenant.limits.get("users", PLANS[tenant.plan].limits["users"]))
        record = self.audit.recording("auth.login", _told(entrance, user.id, "provisioned"))
        linking = _linking(entrance, subject, user.id, stale)
        try:
            UserStore(self.table).create(user, linking, record, maximum=maximum)
        except UsersFull:
            raise count_exceeded(self.table, "users", maximum) from None
        except Conflict:
            return None
        return user


def _linking(entrance: Entrance, subject: str, user_id: UserId, stale: Mapping[str, Any] | None) -> Put:
    """Return the write that says who a subject is; only a link to a user who is gone is written over."""
    place = provider_keys.external_identity(person_digest(entrance.issuer, subject))
    item = {"user_id": user_id, "provider_id": entrance.provider_id}
    if stale is None:
        return Put(place, item, NEW)
    return Put(place, item, "#user_id = :gone", {"gone": stale["user_id"]})


def _told(entrance: Entrance, user_id: UserId, how: str) -> dict[str, object]:
    return {"by": "identity provider", "provider": entrance.provider_id, "user": user_id, "how": how}
