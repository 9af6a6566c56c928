"""Who an issuer's subject is among the tenant's users. Once known, the subject decides, never again the email: whoever
is given another's address at the issuer does not become him here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from atrium.audit.service import AuditService
from atrium.identity.providers.mapping import Profile
from atrium.identity.providers.model import IdentityProvider, person_digest
from atrium.identity.users.model import User, same_address
from atrium.identity.users.store import UserStore, read_user
from atrium.kernel.clock import Clock, format_time
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import UserId
from atrium.storage import keys, provider_keys
from atrium.storage.failures import TransactionRefused
from atrium.storage.table import TenantTable
from atrium.storage.writes import NEW, Operation, Put

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Stranger:
    """The issuer's word is good, but the subject is none of the tenant's users."""

    reason: str


@dataclass(frozen=True, slots=True)
class People:
    """Every access to what subjects are known as in one tenant."""

    table: TenantTable
    audit: AuditService
    clock: Clock

    def find(
        self, provider: IdentityProvider, subject: str, profile: Profile, link: Mapping[str, Any] | None
    ) -> User | Stranger:
        """Return the user; one that has the email is linked to the subject for good. `link` is what was read."""
        place = provider_keys.person(person_digest(provider.issuer, subject))
        for _ in range(_ATTEMPTS):
            user = self._read_user(UserId(link["user_id"])) if link else None
            if user is not None:
                return user
            user = self._find_by_email(profile.email)
            if user is None:
                return Stranger("no user has the token's email" if profile.email else "the token has no email")
            if user.status == "suspended" or self._link(provider, subject, user, stale=link):
                return replace(user, status="active") if user.status == "invited" else user
            link = self.table.batch_get([place]).get(place)
        raise Unavailable(internal="a subject was linked by others at the same time", retry_after_seconds=1)

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

    def _link(self, provider: IdentityProvider, subject: str, user: User, stale: Mapping[str, Any] | None) -> bool:
        """Link a subject to a user who is not suspended, who thereby has come in; False if another call was first."""
        now = self.clock()
        come_in = replace(user, status="active", ticket=None, updated_at=now)
        operations: list[Operation] = [
            link_subject(provider, subject, user.id, stale, now=format_time(now)),
            *UserStore(self.table).changing(user, come_in),
            self.audit.recording("auth.login", told_of(provider, user.id, "linked")),
        ]
        try:
            self.table.transact(operations)
        except TransactionRefused:
            return False
        return True


def link_subject(
    provider: IdentityProvider, subject: str, user_id: UserId, stale: Mapping[str, Any] | None, *, now: str
) -> Put:
    """Return the write that says who a subject is; only a link to a user who is gone is written over."""
    item = {"user_id": user_id, "provider_id": provider.id, "created_at": now}
    place = provider_keys.person(person_digest(provider.issuer, subject))
    if stale is None:
        return Put(place, item, NEW)
    return Put(place, item, "#user_id = :gone", {"gone": stale["user_id"]})


def told_of(provider: IdentityProvider, user_id: UserId, how: str) -> dict[str, object]:
    """Return what the audit is told of somebody's first coming in."""
    return {"by": "identity provider", "provider": provider.id, "user": user_id, "how": how}
