"""Markers of deleted users. They prevent older tokens of an identity provider from creating a deleted user again.

A token of an identity provider is valid for at most one day and contains no token version. Each deleted user has two
markers. The marker of the user's id rejects tokens of linked subjects, and the marker of the email rejects tokens of
subjects without a link.
"""

from datetime import datetime, timedelta
from hashlib import sha256

from atrium.identity.users.model import User, same_address
from atrium.kernel.clock import epoch_seconds
from atrium.storage import provider_keys
from atrium.storage.keys import Key
from atrium.storage.table import TenantTable
from atrium.storage.writes import ANY, Put

KEPT = timedelta(days=2)


def marking_deletion(user: User, now: datetime) -> list[Put]:
    """Return the writes that mark a user as deleted, for the transaction that deletes the user."""
    item = {"deleted_at": epoch_seconds(now), "ttl": epoch_seconds(now + KEPT)}
    return [Put(_mark(name), item, ANY) for name in (user.id, same_address(user.email))]


def was_deleted_since(table: TenantTable, user_id: str, email: str, moment: int | None) -> bool:
    """Return whether a user with this id or email was deleted at `moment` or later.

    `moment` is in epoch seconds; if it is None, the result is False. Makes one batch read.
    """
    if moment is None:
        return False
    places = [_mark(name) for name in (user_id, same_address(email)) if name]
    found = table.batch_get(places) if places else {}
    return any(moment <= mark["deleted_at"] for mark in found.values())


def _mark(name: str) -> Key:
    return provider_keys.deletion(sha256(name.encode()).hexdigest())
