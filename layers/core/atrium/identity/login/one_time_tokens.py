"""Accepts invitations and password resets: with a one-time token, a user sets a new password and is logged in.

The write that sets the password removes the one-time token, and fails if the token was already removed. So only one of
several concurrent calls succeeds. The response is the same for all invalid tokens, and no password hash is computed for
an invalid token.
"""

from dataclasses import dataclass, replace

from atrium.audit.model import Origin
from atrium.audit.service import AuditService
from atrium.identity.families.model import IssuedTokens
from atrium.identity.families.service import TokenFamilyService
from atrium.identity.login.throttles import Throttles
from atrium.identity.users.changing import check_password, with_password
from atrium.identity.users.items import read_user
from atrium.identity.users.model import User, same_address
from atrium.identity.users.one_time_token import EncodedOneTimeToken, OneTimeToken, parse_one_time_token
from atrium.identity.users.passwords import hash_password
from atrium.identity.users.store import UserStore
from atrium.kernel.crypto import same
from atrium.kernel.errors import OneTimeTokenInvalid, TenantInactive, UserSuspended
from atrium.storage import keys
from atrium.storage.table import TransactionRefused
from atrium.tenants.auditing import audit_of
from atrium.tenants.model import Tenant
from atrium.tenants.store import read_tenant

_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class OneTimeTokenService:
    """Sets a user's password with a one-time token and logs the user in."""

    throttles: Throttles
    families: TokenFamilyService

    def accept(self, text: str, password: str, name: str | None, origin: Origin) -> IssuedTokens:
        """Set the user's password, log the user in, and return the tokens of the login.

        Raises `OneTimeTokenInvalid`, `RateLimited`, or `ValidationFailed` if the password is not allowed. Raises
        `TenantInactive` or `UserSuspended` if the user may not log in; the one-time token then remains valid.
        """
        taken = self.throttles.enter_one_time_token(origin.ip)
        token = parse_one_time_token(text, self.families.environment)
        if token is None:
            raise OneTimeTokenInvalid(internal="one-time token: malformed")
        password_hash = ""
        for _ in range(_ATTEMPTS):
            user, tenant = self._verify(token, origin)
            check_password(password, user.email)
            password_hash = password_hash or hash_password(password)
            accepted = replace(with_password(user, password_hash), updated_at=self.families.clock())
            accepted = replace(accepted, name=name or user.name, last_login_at=accepted.updated_at)
            try:
                issued = self._log_in(token, user, accepted, tenant, origin)
            except TransactionRefused:
                continue  # another call used the token or changed the user: read the user again
            self.throttles.take_back(taken)
            self.throttles.know(tenant.id, same_address(user.email), origin.ip)
            return issued
        raise OneTimeTokenInvalid(internal="the user was changed concurrently in every attempt")

    def _is_open(self, token: EncodedOneTimeToken, one_time_token: OneTimeToken | None) -> bool:
        """Return whether a token is the user's stored token and has not expired. The comparison takes constant time."""
        if one_time_token is None:
            return False
        pepper = self.families.secrets.peppers("one_time_token").find(one_time_token.pepper_version)
        if pepper is None or not same(token.digest(pepper.value), one_time_token.digest):
            return False
        return self.families.clock() < one_time_token.expires_at

    def _audit(
        self, tenant: Tenant, token: EncodedOneTimeToken, origin: Origin, *, proven: bool = False
    ) -> AuditService:
        known = replace(origin, principal=f"user:{token.user_id}") if proven else origin
        return audit_of(tenant, self.families.table_of(tenant.id), known, self.families.clock)

    def _verify(self, token: EncodedOneTimeToken, origin: Origin) -> tuple[User, Tenant]:
        """Return the user and tenant of a one-time token; raise `OneTimeTokenInvalid` if the token is not valid."""
        key = keys.user(token.user_id)
        found = self.families.table_of(token.tenant_id).batch_get([key, keys.tenant()])
        user = read_user(found[key], token.tenant_id) if key in found else None
        tenant = read_tenant(found[keys.tenant()]) if keys.tenant() in found else None
        if tenant is None or not tenant.is_visible:
            raise OneTimeTokenInvalid(internal="one-time token: the tenant does not exist")
        if user is None or not self._is_open(token, user.one_time_token):
            details = {"by": "one-time token", "resource": token.user_id}
            self._audit(tenant, token, origin).record_refusal(details, self.families.refusals)
            raise OneTimeTokenInvalid(internal="one-time token: used, replaced or expired")
        if not tenant.is_active:
            raise TenantInactive
        if user.status == "suspended":
            raise UserSuspended
        return user, tenant

    def _log_in(
        self, token: EncodedOneTimeToken, user: User, accepted: User, tenant: Tenant, origin: Origin
    ) -> IssuedTokens:
        purpose = user.one_time_token.purpose if user.one_time_token else ""
        audit = self._audit(tenant, token, origin, proven=True)
        change = UserStore(self.families.table_of(tenant.id)).changing(user, accepted, ends_logins=True)
        records = [
            audit.recording("admin.change", {"action": f"user.{purpose}_accept", "resource": user.id}),
            audit.recording("auth.login", {"by": purpose}),
        ]
        newest = replace(accepted, token_version=user.token_version + 1)
        return self.families.begin(newest, tenant, origin=origin, also=[*change, *records])
