"""Accepting an invitation or a reset: a one-time token and a password become a user who can log in, and tokens.

The write that sets the password removes the token under the condition that it is still there: of several at once, one
wins. A token that is used, replaced, expired, mistyped or made up has one answer, and costs no hash.
"""

from dataclasses import dataclass, replace

from atrium.audit.model import Origin
from atrium.audit.service import AuditService
from atrium.identity.doors.throttles import Throttles
from atrium.identity.families.model import IssuedTokens
from atrium.identity.families.service import FamilyService
from atrium.identity.users.changing import check_password, with_password
from atrium.identity.users.items import read_user
from atrium.identity.users.model import User, same_address
from atrium.identity.users.passwords import hash_password
from atrium.identity.users.store import UserStore
from atrium.identity.users.ticket import Ticket, TicketText, parse_ticket
from atrium.kernel.crypto import same
from atrium.kernel.errors import TenantInactive, TicketInvalid, UserSuspended
from atrium.storage import keys
from atrium.storage.failures import TransactionRefused
from atrium.tenants.auditing import audit_of
from atrium.tenants.model import Tenant
from atrium.tenants.store import read_tenant

_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class TicketService:
    """The door for those who have no password yet, or no longer."""

    throttles: Throttles
    families: FamilyService

    def accept(self, text: str, password: str, name: str | None, origin: Origin) -> IssuedTokens:
        """Set the password and log in: `TicketInvalid`, `RateLimited`, `ValidationFailed` for the password; once the
        token has proven itself `TenantInactive` or `UserSuspended`, which leave it as it is.
        """
        taken = self.throttles.enter_ticket(origin.ip)
        said = parse_ticket(text, self.families.environment)
        if said is None:
            raise TicketInvalid(internal="a one-time token of another form")
        password_hash = ""
        for _ in range(_ATTEMPTS):
            user, tenant = self._prove(said, origin)
            check_password(password, user.email)
            password_hash = password_hash or hash_password(password)
            accepted = replace(with_password(user, password_hash), updated_at=self.families.clock())
            accepted = replace(accepted, name=name or user.name, last_login_at=accepted.updated_at)
            try:
                issued = self._let_in(said, user, accepted, tenant, origin)
            except TransactionRefused:
                continue  # used by another call, or the user was changed: the next look tells
            self.throttles.take_back(taken)
            self.throttles.know(tenant.id, same_address(user.email), origin.ip)
            return issued
        raise TicketInvalid(internal="a user was changed by others at the same time")

    def _is_open(self, said: TicketText, ticket: Ticket | None) -> bool:
        """Tell whether the token is the one that is kept, and in time; in constant time once there is one."""
        if ticket is None:
            return False
        pepper = self.families.secrets.find_pepper(ticket.pepper_version)
        return same(said.digest(pepper.value), ticket.digest) and self.families.clock() < ticket.expires_at

    def _audit(self, tenant: Tenant, said: TicketText, origin: Origin, *, proven: bool = False) -> AuditService:
        known = replace(origin, principal=f"user:{said.user_id}") if proven else origin
        return audit_of(tenant, self.families.table_of(tenant.id), known, self.families.clock)

    def _prove(self, said: TicketText, origin: Origin) -> tuple[User, Tenant]:
        """Return whose the token is, if it is good now."""
        place = keys.user(said.user_id)
        found = self.families.table_of(said.tenant_id).batch_get([place, keys.tenant()])
        user = read_user(found[place], said.tenant_id) if place in found else None
        tenant = read_tenant(found[keys.tenant()]) if keys.tenant() in found else None
        if tenant is None or not tenant.is_visible:
            raise TicketInvalid(internal="a one-time token of no tenant")
        if user is None or not self._is_open(said, user.ticket):
            details = {"by": "one-time token", "resource": said.user_id}
            self._audit(tenant, said, origin).record_refusal(details, self.families.refusals)
            raise TicketInvalid(internal="a one-time token that is not open")
        if not tenant.is_active:
            raise TenantInactive
        if user.status == "suspended":
            raise UserSuspended
        return user, tenant

    def _let_in(self, said: TicketText, user: User, accepted: User, tenant: Tenant, origin: Origin) -> IssuedTokens:
        purpose = user.ticket.purpose if user.ticket else ""
        audit = self._audit(tenant, said, origin, proven=True)
        change = UserStore(self.families.table_of(tenant.id)).changing(user, accepted, ends_logins=True)
        records = [
            audit.recording("admin.change", {"action": f"user.{purpose}_accept", "resource": user.id}),
            audit.recording("auth.login", {"by": purpose}),
        ]
        newest = replace(accepted, token_version=user.token_version + 1)
        return self.families.begin(newest, tenant, origin=origin, also=[*change, *records])
