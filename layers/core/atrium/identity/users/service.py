"""Administration of a tenant's users. Each change and its audit event are written in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from atrium.audit.service import AuditService
from atrium.identity.lineage import Lineage
from atrium.identity.users.changing import Change, change_user, check_password
from atrium.identity.users.counts import count_admins
from atrium.identity.users.deletions import marking_deletion
from atrium.identity.users.model import PREFERENCES_DEFAULT, User
from atrium.identity.users.one_time_token import Purpose, mint_one_time_token
from atrium.identity.users.passwords import hash_password
from atrium.identity.users.store import LastAdmin, UserChanged, UsersFull, UserStore
from atrium.kernel.clock import Clock
from atrium.kernel.errors import Conflict, NotFound, Unavailable
from atrium.kernel.ids import UserId, is_id, mint_user_id
from atrium.kernel.pagination import Page, PageRequest
from atrium.settings import Environment
from atrium.storage.secrets import Pepper
from atrium.storage.writes import Put
from atrium.tenants.counts import count_exceeded
from atrium.tenants.plans import UNLIMITED

_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class UserWithToken:
    """A user, and the text of their new one-time token or None. The text is not stored."""

    user: User
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Offboarded:
    """The ids of revoked and remaining credentials that descend from a deleted, suspended or demoted user."""

    revoked: tuple[str, ...]
    remaining: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UserService:
    """An administrator's operations on the tenant's users. The routes check the scope `admin`."""

    store: UserStore
    audit: AuditService
    environment: Environment
    current_pepper: Callable[[], Pepper]
    clock: Clock

    def create(self, fields: Mapping[str, Any], *, maximum: int = UNLIMITED) -> UserWithToken:
        """Create a user. The user is active if a password is given, otherwise invited.

        Raises `Conflict` if the email is taken, `CountExceeded` if the tenant has `maximum` users, and
        `ValidationFailed` if the password is not allowed.
        """
        wanted, now = dict(fields), self.clock()
        password = wanted.pop("password", None)
        if password is not None:
            check_password(password, wanted["email"])
            wanted["password_hash"] = hash_password(password)
        wanted["preferences"] = {**PREFERENCES_DEFAULT, **wanted.get("preferences", {})}
        user = User(
            **wanted,
            id=mint_user_id(now),
            tenant_id=self.store.table.tenant_id,
            status="active" if password is not None else "invited",
            created_at=now,
            updated_at=now,
        )
        made = UserWithToken(user) if password is not None else self._invite(user, "invitation")
        try:
            self.store.create(made.user, self._record("user.create", made.user), maximum=maximum)
        except UsersFull:
            raise count_exceeded(self.store.table, "users", maximum) from None
        return made

    def get(self, user_id: str) -> User:
        user = self.store.get(UserId(user_id)) if is_id(user_id, "usr") else None
        if user is None:
            raise NotFound("user not found")
        return user

    def list(self, page: PageRequest, *, email: str | None = None) -> Page[User]:
        """List the users, oldest first, or only the user with this email."""
        if email is None:
            return self.store.list(page)
        found = self.store.find(email)
        return Page([found] if found else [], None)

    def change(self, user_id: str, fields: Mapping[str, Any]) -> User:
        """Change fields of a user and return the user.

        Raises `NotFound`, or `ValidationFailed` if the password is not allowed. Raises `Conflict` if the email is taken
        or the tenant would have no active administrator.
        """
        user = self.get(user_id)
        if not fields:
            return user
        password = fields.get("password")
        if password is not None:
            check_password(password, fields.get("email", user.email))
        password_hash = hash_password(password) if password is not None else None

        def apply(before: User) -> Change:
            return change_user(before, fields, password_hash=password_hash, now=self.clock())

        return self._apply(user, apply, "user.change")

    def reset(self, user_id: str) -> UserWithToken:
        """Issue a one-time token for a new password, and end the user's logins.

        An earlier one-time token becomes invalid. For an invited user, the new token is an invitation.
        """
        text: list[str] = []

        def apply(before: User) -> Change:
            purpose: Purpose = "invitation" if _is_invited(before) else "reset"
            made = self._invite(replace(before, updated_at=self.clock()), purpose)
            text[:] = [made.text or ""]
            return Change(made.user, (), ends_logins=True)

        user = self._apply(self.get(user_id), apply, "user.reset")
        return UserWithToken(user, text[0])

    def log_out(self, user_id: str) -> None:
        """End all logins of a user."""

        def apply(before: User) -> Change:
            return Change(replace(before, updated_at=self.clock()), (), ends_logins=True)

        self._apply(self.get(user_id), apply, "user.logout")

    def delete(self, user_id: str, *, revoke_keys: bool) -> Offboarded:
        """Delete a user; raise `Conflict` for the last active administrator.

        If `revoke_keys` is set, the keys and clients that descend from the user are revoked, otherwise they remain
        valid. They are revoked before the user is deleted, so that an interrupted call can be repeated. After the
        deletion, the search is repeated, because the user may have created more credentials in the meantime.
        """
        revoked: list[str] = []
        for _ in range(_ATTEMPTS):
            user = self.get(user_id)
            if revoke_keys and user.is_active_admin and count_admins(self.store.table) < 2:
                raise _last_admin()  # checked before keys are revoked; the condition of the write is authoritative
            revoked += self._lineage.end(user.id) if revoke_keys else []
            remaining = [each.id for each in self._lineage.find(user.id)]
            record = self._record("user.delete", user, keys_revoked=revoked, credentials_remaining=remaining)
            try:
                self.store.delete(user, record, *marking_deletion(user, self.clock()))
            except UserChanged:
                continue
            except LastAdmin:
                raise _last_admin() from None
            return self.offboard(user.id, revoke_keys=revoke_keys, revoked=revoked)
        raise _concurrent_change()

    def offboard(self, user_id: str, *, revoke_keys: bool, revoked: Sequence[str] = ()) -> Offboarded:
        """Return the ids of the revoked and the remaining credentials that descend from a user.

        If `revoke_keys` is set, revoke these credentials first. `revoked` contains the ids of credentials that were
        revoked earlier.
        """
        ended = [*revoked, *(self._lineage.end(user_id) if revoke_keys else [])]
        return Offboarded(tuple(ended), tuple(each.id for each in self._lineage.find(user_id)))

    @property
    def _lineage(self) -> Lineage:
        return Lineage(self.store.table, self.audit, self.clock)

    def _apply(self, user: User, apply: Callable[[User], Change], action: str) -> User:
        """Write a change of a user and return the user. After a concurrent change, read the user again and retry."""
        for _ in range(_ATTEMPTS):
            change = apply(user)
            record = self._record(action, change.user, before=user, changed=change.fields)
            try:
                self.store.change(user, change.user, record, ends_logins=change.ends_logins)
            except UserChanged:
                user = self.get(user.id)
                continue
            except LastAdmin:
                raise _last_admin() from None
            version = user.token_version + int(change.ends_logins)
            return replace(change.user, token_version=version)
        raise _concurrent_change()

    def _invite(self, user: User, purpose: Purpose) -> UserWithToken:
        text, one_time_token = mint_one_time_token(
            self.environment,
            self.current_pepper(),
            user_id=user.id,
            tenant_id=user.tenant_id,
            purpose=purpose,
            now=self.clock(),
        )
        return UserWithToken(replace(user, one_time_token=one_time_token), text)

    def _record(self, action: str, user: User, **details: object) -> Put:
        before = details.pop("before", None)
        shown: dict[str, object] = {"action": action, "resource": user.id, "role": user.role, "status": user.status}
        if isinstance(before, User):
            shown |= {"role_before": before.role, "status_before": before.status}
        return self.audit.recording("admin.change", {**shown, **{name: each for name, each in details.items() if each}})


def _is_invited(user: User) -> bool:
    return "invited" in {user.status, user.suspended_from if user.status == "suspended" else user.status}


def _last_admin() -> Conflict:
    return Conflict("the tenant must keep an active administrator; appoint another one first")


def _concurrent_change() -> Unavailable:
    return Unavailable(internal="a user was modified concurrently too often", retry_after_seconds=1)
