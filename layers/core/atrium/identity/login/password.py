"""Changes the password of the calling user. All logins of the user end, and a new login is created for the caller."""

from dataclasses import dataclass, replace

from atrium.audit.model import Origin
from atrium.identity.families.model import IssuedTokens
from atrium.identity.families.service import TokenFamilyService
from atrium.identity.login.throttles import Throttles
from atrium.identity.users.changing import check_password, with_password
from atrium.identity.users.passwords import hash_password, verify_password
from atrium.identity.users.store import UserStore
from atrium.kernel.errors import Forbidden, NotFound, Unavailable, invalid_field
from atrium.kernel.ids import UserId
from atrium.storage.table import TransactionRefused
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from atrium.tenants.store import TenantStore


@dataclass(frozen=True, slots=True)
class PasswordService:
    """Changes the password of the calling user."""

    context: TenantContext
    throttles: Throttles
    families: TokenFamilyService

    def change(self, old: str, new: str, origin: Origin) -> IssuedTokens:
        """Set a new password and return new tokens.

        Raises `RateLimited`, or `ValidationFailed` if the old password is wrong or the new password is invalid.
        """
        if self.context.principal.type != "user":
            raise Forbidden("Only users have a password; this credential is not a user's token")
        table = self.families.table_of(self.context.tenant_id)
        store, tenant = UserStore(table), TenantStore(table).get()
        user = store.get(UserId(self.context.principal.id))
        if user is None or tenant is None:
            raise NotFound("user not found")
        taken = self.throttles.enter_password(user.id)
        if not user.password_hash or not verify_password(old, user.password_hash):
            raise invalid_field("old_password", "is not the user's current password")
        self.throttles.take_back(taken)
        check_password(new, user.email, field="new_password")
        changed = replace(with_password(user, hash_password(new)), updated_at=self.families.clock())
        audit = open_audit(self.context, table, self.families.clock)
        record = audit.recording("admin.change", {"action": "user.password", "resource": user.id})
        operations = [*store.changing(user, changed, ends_logins=True), record]
        newest = replace(changed, token_version=user.token_version + 1)
        try:
            return self.families.begin(newest, tenant, origin=origin, also=operations)
        except TransactionRefused as refused:
            raise Unavailable(internal="the user was changed at the same time", retry_after_seconds=1) from refused
