"""Maps an issuer's subject to a user of the tenant.

After the first login, the user is identified by the subject and not by the email. So if the issuer assigns an email
address to another person, the new owner of the address does not get access to the previous owner's account.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from atrium.audit.service import AuditService
from atrium.identity.providers.mapping import Profile
from atrium.identity.providers.model import SubjectSource, person_digest
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
    """The result for a verified subject that has no user in the tenant, and for which no user may be created."""

    reason: str


@dataclass(frozen=True, slots=True)
class ExternalIdentities:
    """Reads and writes the links between subjects and users of one tenant."""

    table: TenantTable
    audit: AuditService
    clock: Clock

    def find(self, source: SubjectSource, subject: str, profile: Profile, tenant: Tenant) -> User | UnknownSubject:
        """Read the link of a subject, and return the user in the same way as `recognise`."""
        return self.recognise(source, subject, profile, tenant, self._read_link(source, subject))

    def recognise(
        self,
        source: SubjectSource,
        subject: str,
        profile: Profile,
        tenant: Tenant,
        link: Mapping[str, Any] | None,
        found: Mapping[Key, Mapping[str, Any]] = MappingProxyType({}),
        *,
        issued_at: int | None = None,
    ) -> User | UnknownSubject:
        """Return the user of a subject: the linked user, the user with the same email, or a new user.

        A new user is created only if the provider allows provisioning. A subject without a link is linked to the user,
        and the link is audited; a suspended user is returned without a link. `link` is the stored link of the subject,
        or None. If `found` contains the linked user, the user is not read again.
        `issued_at` is the time when the token was issued (epoch seconds), or None for a new sign-in. A token that was
        issued before its user was deleted is not accepted. Raises `CountExceeded` if the tenant has its maximum number
        of users.
        """
        known = found.get(keys.user(UserId(link["user_id"]))) if link else None
        if known is not None:
            return read_user(known, self.table.tenant_id)
        for _ in range(_ATTEMPTS):
            user = self._read_user(UserId(link["user_id"])) if link else None
            if user is not None:
                return user
            if was_deleted_since(self.table, link["user_id"] if link else "", profile.email, issued_at):
                return UnknownSubject("the user was deleted after the token was issued")
            user = self._find_by_email(profile.email)
            if user is not None:
                made = user if user.status == "suspended" else self._link(source, subject, user, link)
            elif not profile.email or not source.provision_users:
                return UnknownSubject("no user has the subject's email" if profile.email else NO_EMAIL)
            else:
                made = self._provision(source, subject, profile, tenant, link)
            if made is not None:
                return made
            link = self._read_link(source, subject)
        raise Unavailable(internal="a subject was linked concurrently", retry_after_seconds=1)

    def _read_link(self, source: SubjectSource, subject: str) -> Mapping[str, Any] | None:
        key = provider_keys.external_identity(person_digest(source.issuer, subject))
        return self.table.batch_get([key]).get(key)

    def _find_by_email(self, email: str) -> User | None:
        if not email:
            return None
        key = keys.email(same_address(email))
        marker = self.table.batch_get([key]).get(key)
        return self._read_user(UserId(marker["user_id"])) if marker else None

    def _read_user(self, user_id: UserId) -> User | None:
        key = keys.user(user_id)
        found = self.table.batch_get([key]).get(key)
        return read_user(found, self.table.tenant_id) if found else None

    def _link(self, source: SubjectSource, subject: str, user: User, stale: Mapping[str, Any] | None) -> User | None:
        """Link a subject to a user, activate an invited user, and return the changed user.

        Returns None if a concurrent call linked the subject or changed the user.
        """
        after = replace(user, status="active", one_time_token=None if user.status == "invited" else user.one_time_token)
        after = replace(after, updated_at=self.clock())
        record = self.audit.recording("auth.login", _login_details(source, user.id, "linked"))
        try:
            UserStore(self.table).change(user, after, _linking(source, subject, user.id, stale), record)
        except (UserChanged, Conflict):
            return None
        return after

    def _provision(
        self,
        source: SubjectSource,
        subject: str,
        profile: Profile,
        tenant: Tenant,
        stale: Mapping[str, Any] | None,
    ) -> User | None:
        """Create a user for a subject, link the subject to the user, and return the user.

        Returns None if a concurrent call linked the subject or created a user with the same email.
        """
        now = self.clock()
        user = User(
            id=mint_user_id(now),
            tenant_id=tenant.id,
            email=profile.email,
            role=profile.role or source.default_role,
            status="active",
            created_at=now,
            updated_at=now,
            name=profile.name,
        )
        maximum = int(tenant.limits.get("users", PLANS[tenant.plan].limits["users"]))
        record = self.audit.recording("auth.login", _login_details(source, user.id, "provisioned"))
        linking = _linking(source, subject, user.id, stale)
        try:
            UserStore(self.table).create(user, linking, record, maximum=maximum)
        except UsersFull:
            raise count_exceeded(self.table, "users", maximum) from None
        except Conflict:
            return None
        return user


def _linking(source: SubjectSource, subject: str, user_id: UserId, stale: Mapping[str, Any] | None) -> Put:
    """Return the write that links a subject to a user.

    `stale` is the link to a deleted user, or None. The condition of the write fails if the stored link has changed.
    """
    key = provider_keys.external_identity(person_digest(source.issuer, subject))
    item = {"user_id": user_id, "provider_id": source.provider_id}
    if stale is None:
        return Put(key, item, NEW)
    return Put(key, item, "#user_id = :gone", {"gone": stale["user_id"]})


def _login_details(source: SubjectSource, user_id: UserId, how: str) -> dict[str, object]:
    return {"by": "identity provider", "provider": source.provider_id, "user": user_id, "how": how}
