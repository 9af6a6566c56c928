"""Stores users. Each user has a marker that keeps the email unique in the tenant.

The marker is also the entry in the login index, which contains the emails of all tenants. A change and its audit event
are written in one transaction.
"""

from dataclasses import dataclass
from typing import Any

from atrium.identity.users.counts import counting_user
from atrium.identity.users.items import read_user, user_item
from atrium.identity.users.model import User, same_address
from atrium.kernel.errors import Conflict, TenantInactive
from atrium.kernel.ids import UserId
from atrium.kernel.pagination import Page, PageRequest
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import EXISTS, NEW, Delete, Operation, Put, Update
from atrium.tenants.plans import UNLIMITED
from atrium.tenants.store import not_deleted

__all__ = ["LastAdmin", "UserChanged", "UserStore", "UsersFull", "read_user"]

_NEVER_SET = frozenset({"id", "created_at", "token_version"})
_AS_READ = ("role", "status", "email", "suspended_from", "token_version")


class UserChanged(Exception):
    """Raised if another call changed or deleted the user after the user was read."""


class UsersFull(Exception):
    """Raised if the tenant has its maximum number of users."""


class LastAdmin(Exception):
    """Raised if the tenant would have no active administrator."""


@dataclass(frozen=True, slots=True)
class UserStore:
    """Reads and writes the users of one tenant."""

    table: TenantTable

    def creation(self, user: User, maximum: int = UNLIMITED) -> list[Operation]:
        """Return the writes that create and count a user, for a transaction.

        The condition of the first write fails if the email is taken. The condition of the last write fails if the
        tenant has `maximum` users.
        """
        counted = counting_user(None, user, maximum)
        return [self._marking(user), Put(keys.user(user.id), user_item(user), NEW), *([counted] if counted else [])]

    def create(self, user: User, *also: Operation, maximum: int = UNLIMITED) -> None:
        """Write a new user.

        Raises `Conflict` if the email is taken, `UsersFull` if the tenant has `maximum` users, and `TenantInactive` if
        the tenant is deleted.
        """
        operations = [*self.creation(user, maximum), *also, not_deleted()]
        try:
            self.table.transact(operations)
        except TransactionRefused as refused:
            if len(operations) - 1 in refused.failed:
                raise TenantInactive from refused
            if refused.failed == {2}:
                raise UsersFull from refused
            raise Conflict("another user has this email") from refused

    def get(self, user_id: UserId) -> User | None:
        item = self.table.get(keys.user(user_id))
        return read_user(item, self.table.tenant_id) if item else None

    def find(self, email: str) -> User | None:
        """Return the tenant's user with this email, or None. Makes up to two reads."""
        marker = self.table.get(keys.email(same_address(email)))
        return self.get(UserId(marker["user_id"])) if marker else None

    def list(self, page: PageRequest) -> Page[User]:
        """List the users, oldest first."""
        query = Query("", prefix="USER#", limit=page.limit, position=page.position)
        return self.table.query(query).map(lambda item: read_user(item, self.table.tenant_id))

    def changing(self, before: User, after: User, *, ends_logins: bool = False) -> tuple[Operation, ...]:
        """Return the writes that change a user, for a transaction.

        The condition of the first write fails if the user has changed since `before` was read.
        """
        return tuple(self._changing(before, after, ends_logins).values())

    def change(self, before: User, after: User, *also: Operation, ends_logins: bool = False) -> None:
        """Write the changed fields of a user. If `ends_logins` is set, end all logins of the user.

        Raises `UserChanged` if the role, status, email, token version or one-time token has changed since `before` was
        read. Raises `LastAdmin`, or `Conflict` if the new email is taken. If the email changes and the tenant is
        deleted, raises `TenantInactive`.
        """
        self._transact(self._changing(before, after, ends_logins), also)

    def _changing(self, before: User, after: User, ends_logins: bool) -> dict[str, Operation]:
        operations: dict[str, Operation] = {"user": self._difference(before, after, ends_logins)}
        counted = counting_user(before, after)
        if counted:
            operations["count"] = counted
        if same_address(before.email) != same_address(after.email):
            operations["marker"] = self._marking(after)
            operations["old marker"] = self._unmarking(before)
            operations["tenant"] = not_deleted()
        return operations

    def delete(self, user: User, *also: Operation) -> None:
        """Delete a user; raise `LastAdmin`, or `UserChanged` if another call changed the user after `user` was read."""
        condition, values = _unchanged(user)
        operations: dict[str, Operation] = {
            "user": Delete(keys.user(user.id), condition, values),
            "old marker": self._unmarking(user),
        }
        counted = counting_user(user, None)
        if counted:
            operations["count"] = counted
        self._transact(operations, also)

    def release_addresses(self, *, most: int) -> bool:
        """Remove up to `most` emails of a deleted tenant from the login index; return whether none are left."""
        page = self.table.query(Query("", prefix="EMAIL#", limit=most))
        self.table.delete_all([Key("", item["sk"]) for item in page.items])
        return page.position is None

    def _transact(self, operations: dict[str, Operation], also: tuple[Operation, ...]) -> None:
        try:
            self.table.transact([*operations.values(), *also])
        except TransactionRefused as refused:
            failed = {name for at, name in enumerate(operations) if at in refused.failed}
            if "tenant" in failed:
                raise TenantInactive from refused
            if "user" in failed or "old marker" in failed:
                raise UserChanged from refused
            if "count" in failed:
                raise LastAdmin from refused
            raise Conflict("another user has this email" if "marker" in failed else None) from refused

    def _marking(self, user: User) -> Put:
        address = same_address(user.email)
        marker = {
            "user_id": user.id,
            "login_pk": keys.login_partition(address),
            "login_sk": keys.login_sort(user.tenant_id, user.id),
        }
        return Put(keys.email(address), marker, NEW)

    def _unmarking(self, user: User) -> Delete:
        return Delete(keys.email(same_address(user.email)), "#user_id = :user_id", {"user_id": user.id})

    def _difference(self, before: User, after: User, ends_logins: bool) -> Update:
        was, wanted = user_item(before), user_item(after)
        changed = [
            name for name in wanted if name not in _NEVER_SET and (wanted[name] != was[name] or name == "updated_at")
        ]
        put = [name for name in changed if wanted[name] is not None]
        gone = [name for name in changed if wanted[name] is None]
        condition, values = _unchanged(before)
        sets = [f"#{name} = :{name}" for name in put]
        values |= {name: wanted[name] for name in put}
        if ends_logins:
            sets += ["#token_version = #token_version + :one", "#logins_ended_at = :updated_at"]
            values["one"] = 1
        expression = "SET " + ", ".join(sets) + (" REMOVE " + ", ".join(f"#{name}" for name in gone) if gone else "")
        return Update(keys.user(before.id), expression, condition, values)


def _unchanged(user: User) -> tuple[str, dict[str, Any]]:
    """Return a condition, with its values, that fails if a field in `_AS_READ` or the one-time token has changed."""
    item = user_item(user)
    values: dict[str, Any] = {f"was_{name}": item[name] for name in _AS_READ if item[name] is not None}
    parts = [EXISTS, *(f"#{name} = :was_{name}" for name in _AS_READ if item[name] is not None)]
    parts += [f"attribute_not_exists(#{name})" for name in _AS_READ if item[name] is None]
    if user.one_time_token is not None:
        parts.append("#ticket.#digest = :was_digest")
        values["was_digest"] = user.one_time_token.digest
    else:
        parts.append("attribute_not_exists(#ticket)")
    return " AND ".join(parts), values
