"""The numbers of users and of active administrators of a tenant, in one item.

The transaction that creates, changes or removes a user also changes the numbers. So concurrent calls cannot exceed the
maximum number of users, and cannot remove the last active administrator.
"""

from typing import Any

from atrium.identity.users.model import User
from atrium.storage import keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import Update
from atrium.tenants.plans import UNLIMITED


def counting_user(before: User | None, after: User | None, maximum: int = UNLIMITED) -> Update | None:
    """Return the write that counts the creation, change or removal of a user, or None if no number changes.

    `before` is None for a creation, and `after` is None for a removal. The condition of the write fails if the tenant
    already has `maximum` users, or if the change would remove the last active administrator.
    """
    users = (after is not None) - (before is not None)
    admins = (after is not None and after.is_active_admin) - (before is not None and before.is_active_admin)
    if not users and not admins:
        return None
    values: dict[str, Any] = {"users": users, "admins": admins}
    conditions: list[str] = []
    if users > 0 and maximum != UNLIMITED:
        fewer = "#users < :maximum" if maximum < 1 else "(attribute_not_exists(#users) OR #users < :maximum)"
        conditions.append(fewer)
        values["maximum"] = maximum
    if admins < 0:
        conditions.append("#admins > :one")
        values["one"] = 1
    return Update(keys.counts(), "ADD #users :users, #admins :admins", " AND ".join(conditions), values)


def count_admins(table: TenantTable) -> int:
    """Return the number of active administrators of the tenant."""
    found = table.get(keys.counts()) or {}
    return int(found.get("admins", 0))
