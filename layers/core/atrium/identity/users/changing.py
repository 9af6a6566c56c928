"""Computes the changes that an administrator makes to a user. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from atrium.identity.users.model import User
from atrium.identity.users.passwords import find_password_fault
from atrium.kernel.errors import Conflict, invalid_field


@dataclass(frozen=True, slots=True)
class Change:
    """The result of a change: the changed user, the names of the changed fields, and whether the user's logins end."""

    user: User
    fields: tuple[str, ...]
    ends_logins: bool


def change_user(before: User, fields: Mapping[str, Any], *, password_hash: str | None, now: datetime) -> Change:
    """Return the user after a change of fields. `password_hash` is the hash of a new password, or None.

    `preferences` are merged, and other fields are replaced. A new password activates an invited user. If the status is
    set to `active`, a suspended user returns to the status before the suspension. Raises `Conflict` if the status of an
    invited user is set to `active`, because the user must accept the invitation first.
    """
    simple = {name: value for name, value in fields.items() if name not in {"status", "password", "preferences"}}
    user = replace(before, **simple, updated_at=now)
    if "preferences" in fields:
        user = replace(user, preferences={**before.preferences, **fields["preferences"]})
    if password_hash is not None:
        user = with_password(user, password_hash)
    wanted = fields.get("status")
    if wanted == "suspended" and user.status != "suspended":
        user = replace(user, status="suspended", suspended_from=user.status)
    elif wanted == "active" and user.status == "suspended":
        user = replace(user, status=user.suspended_from, suspended_from="active")
    elif wanted == "active" and user.status == "invited":
        raise Conflict("the user has not accepted the invitation; send a new invitation (reset) or set a password")
    ends = password_hash is not None or (user.status == "suspended" != before.status)
    return Change(user, tuple(sorted(fields)), ends)


def with_password(user: User, password_hash: str) -> User:
    """Return the user with a new password. The user is no longer invited and has no open one-time token."""
    status = "active" if user.status == "invited" else user.status
    return replace(user, status=status, suspended_from="active", password_hash=password_hash, one_time_token=None)


def check_password(password: str, email: str, *, field: str = "password") -> None:
    """Raise `ValidationFailed` if a password is not allowed for this email."""
    fault = find_password_fault(password, email=email)
    if fault is not None:
        raise invalid_field(field, fault)
