"""Users in the table, each with a marker that keeps the email unique in the tenant.

The marker is also what the login index holds: by it, and by it alone, an email is found across tenants.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atrium.identity.users.model import User, same_address
from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import Conflict
from atrium.kernel.ids import TenantId, UserId
from atrium.storage import keys
from atrium.storage.failures import TransactionRefused
from atrium.storage.table import TenantTable
from atrium.storage.writes import NEW, Operation, Put


@dataclass(frozen=True, slots=True)
class UserStore:
    """Every access to one tenant's users."""

    table: TenantTable

    def creation(self, user: User) -> list[Operation]:
        """Return the writes that record a new user, for a transaction."""
        address = same_address(user.email)
        marker = {
            "user_id": user.id,
            "login_pk": keys.login_partition(address),
            "login_sk": keys.login_sort(user.tenant_id, user.id),
        }
        return [Put(keys.email(address), marker, NEW), Put(keys.user(user.id), _item(user), NEW)]

    def create(self, user: User) -> None:
        """Record a new user; `Conflict` if the email is taken in this tenant."""
        try:
            self.table.transact(self.creation(user))
        except TransactionRefused as refused:
            raise Conflict("another user has this email") from refused

    def get(self, user_id: UserId) -> User | None:
        item = self.table.get(keys.user(user_id))
        return read_user(item, self.table.tenant_id) if item else None

    def find(self, email: str) -> User | None:
        """Return the tenant's user of an address. Two reads."""
        marker = self.table.get(keys.email(same_address(email)))
        return self.get(UserId(marker["user_id"])) if marker else None


def _item(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "role": user.role,
        "status": user.status,
        "name": user.name or None,
        "password_hash": user.password_hash or None,
        "token_version": user.token_version,
        "created_at": format_time(user.created_at),
        "updated_at": format_time(user.updated_at),
        "last_login_at": format_time(user.last_login_at) if user.last_login_at else None,
    }


def read_user(item: Mapping[str, Any], tenant_id: TenantId) -> User:
    """Return the user of an item of that tenant's partition."""
    last_login = item.get("last_login_at")
    return User(
        id=UserId(item["id"]),
        tenant_id=tenant_id,
        email=item["email"],
        role=item["role"],
        status=item["status"],
        name=item.get("name", ""),
        password_hash=item.get("password_hash", ""),
        token_version=item["token_version"],
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
        last_login_at=parse_time(last_login) if last_login else None,
    )
