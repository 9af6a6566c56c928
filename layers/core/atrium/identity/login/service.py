"""Login with an email and a password, with or without a tenant.

The refusal of an incorrect email, password or tenant always has the same text and requires the same work.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from atrium.audit.model import Origin
from atrium.audit.service import AuditService
from atrium.identity.families.model import IssuedTokens
from atrium.identity.families.service import TokenFamilyService
from atrium.identity.login.candidates import Candidate, Candidates, Place
from atrium.identity.login.throttles import Throttles
from atrium.identity.users.items import read_user
from atrium.identity.users.model import User
from atrium.identity.users.passwords import hash_password, must_be_rehashed
from atrium.kernel.clock import Clock, format_time
from atrium.kernel.errors import (
    AtriumError,
    ConditionFailed,
    RateLimited,
    TenantInactive,
    Unauthenticated,
    Unavailable,
    UserSuspended,
)
from atrium.storage import keys
from atrium.storage.writes import Update
from atrium.tenants.auditing import audit_of
from atrium.tenants.model import Tenant

WRONG = (
    "The email or password is wrong. If the email is used in more than three tenants, the request must name the tenant."
)


@dataclass(frozen=True, slots=True)
class TenantChoice:
    """The result of a login whose password is correct in several tenants. The caller must choose one of them."""

    tenants: tuple[Tenant, ...]


@dataclass(frozen=True, slots=True)
class LoginService:
    """Logs users in. `report` is called with the reason of each refusal that is not recorded in a tenant's audit."""

    candidates: Candidates
    throttles: Throttles
    families: TokenFamilyService
    clock: Clock
    report: Callable[[str], None]

    def log_in(self, email: str, password: str, tenant: str | None, origin: Origin) -> IssuedTokens | TenantChoice:
        """Return tokens, or the tenants to choose from if the password is correct in several tenants.

        Raises `Unauthenticated` (always with the same text) or `RateLimited`. If the password is correct but the user
        may not log in, raises `TenantInactive` or `UserSuspended`.
        """
        usable = self._authenticate(email, password, tenant, origin)
        if len(usable) > 1:
            return TenantChoice(tuple(each.tenant for each in usable if each.tenant))
        return self._log_in(usable[0], password, origin)

    def authenticate(self, email: str, password: str, tenant: Tenant, origin: Origin) -> User:
        """Return the user of a tenant with this email and password, without tokens.

        Raises the same errors as `log_in`.
        """
        (candidate,) = self._authenticate(email, password, tenant.id, origin)
        if candidate.user is None:
            raise Unauthenticated(WRONG)
        return self._note_login(candidate.user, password)

    def _authenticate(self, email: str, password: str, tenant: str | None, origin: Origin) -> list[Candidate]:
        """Return the candidates, at least one, whose password is correct and who may log in."""
        places = self.candidates.locate(email, tenant)
        named = places[0] if tenant is not None else None
        try:
            attempt = self.throttles.enter_login([place.target for place in places], origin.ip)
        except RateLimited as refusal:
            self._record_throttled(named, refusal, origin)
            raise
        candidates = [self.candidates.read(place) for place in places if place.target in attempt.admitted]
        fitting = [candidate for candidate in candidates if candidate.matches(password)]
        if not fitting:
            raise attempt.refusal or self._refuse(candidates[0] if named is not None else None, origin)
        self.throttles.succeed(attempt, [candidate.target for candidate in fitting])
        usable = [candidate for candidate in fitting if _find_denial(candidate) is None]
        if not usable:
            raise self._refuse_inactive(fitting[0], origin)
        return usable

    def _log_in(self, candidate: Candidate, password: str, origin: Origin) -> IssuedTokens:
        user, tenant = candidate.user, candidate.tenant
        if user is None or tenant is None:
            raise Unauthenticated(WRONG)
        user = self._note_login(user, password)
        audit = self._audit(tenant, user, origin)
        record = audit.recording("auth.login", {"by": "password"})
        return self.families.begin(user, tenant, origin=origin, also=[record])

    def _note_login(self, user: User, password: str) -> User:
        """Store the time of the login, and a new password hash if the hash parameters changed. Return the user.

        Raises `Unavailable` if the user was changed concurrently.
        """
        kept = hash_password(password) if must_be_rehashed(user.password_hash) else user.password_hash
        values = {
            "now": format_time(self.clock()),
            "kept": kept,
            "was": user.password_hash,
            "active": "active",
            "version": user.token_version,
        }
        condition = "#status = :active AND #token_version = :version AND #password_hash = :was"
        write = Update(keys.user(user.id), "SET #last_login_at = :now, #password_hash = :kept", condition, values)
        try:
            return read_user(self.candidates.table_of(user.tenant_id).write(write), user.tenant_id)
        except ConditionFailed as failed:
            raise Unavailable(internal="the user was changed during the login", retry_after_seconds=1) from failed

    def _refuse(self, named: Candidate | None, origin: Origin) -> Unauthenticated:
        """Record a wrong email or password in the audit of the named tenant, and return the error."""
        if named is not None and named.tenant is not None:
            details = {"by": "password", "reason": "wrong"}
            self._audit(named.tenant, None, origin).record_refusal(
                details, self.families.refusals, like=named.target.email
            )
        else:
            self.report("wrong email, password or tenant")
        return Unauthenticated(WRONG)

    def _record_throttled(self, place: Place | None, refusal: RateLimited, origin: Origin) -> None:
        """Count a throttled login in the audit of the named tenant. The audit contains one event per minute."""
        named = self.candidates.find_tenant(place) if place is not None else None
        if named is None:
            self.report("throttled")
            return
        details = {"by": "password", "used": refusal.extensions["used"], "max": refusal.extensions["max"]}
        self._audit(named, None, origin).count_refusal("attempts", details)

    def _refuse_inactive(self, candidate: Candidate, origin: Origin) -> AtriumError:
        denial = _find_denial(candidate) or Unauthenticated(WRONG)
        if candidate.tenant is not None:
            audit = self._audit(candidate.tenant, candidate.user, origin)
            details = {"by": "password", "reason": denial.code}
            audit.record_refusal(details, self.families.refusals, like=candidate.target.email)
        return denial

    def _audit(self, tenant: Tenant, user: User | None, origin: Origin) -> AuditService:
        known = replace(origin, principal=f"user:{user.id}") if user else origin
        return audit_of(tenant, self.candidates.table_of(tenant.id), known, self.clock)


def _find_denial(candidate: Candidate) -> AtriumError | None:
    """Return the reason why a user with the correct password may not log in, or None."""
    if candidate.tenant is None or not candidate.tenant.is_active:
        return TenantInactive()
    if candidate.user is None or candidate.user.status != "active":
        return UserSuspended()
    return None
