"""Remembers deleted users while a token of a tenant's own issuer, issued before, could bring them back.

Such a token lives a day at most, and carries no version of ours. A mark is kept by the user's id, for a subject that
was linked to them, and by their email, for one that was not.
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
    """Return the writes that remember a deletion, for its transaction."""
    item = {"deleted_at": epoch_seconds(now), "ttl": epoch_seconds(now + KEPT)}
    return [Put(_mark(name), item, ANY) for name in (user.id, same_address(user.email))]


def was_deleted_since(table: TenantTable, user_id: str, email: str, moment: int | None) -> bool:
    """Tell whether the user of an id or an email was deleted at that second or later; never since None. One read."""
    if moment is None:
        return False
    places = [_mark(name) for name in (user_id, same_address(email)) if name]
    found = table.batch_get(places) if places else {}
    return any(moment <= mark["deleted_at"] for mark in found.values())


def _mark(name: str) -> Key:
    return provider_keys.deletion(sha256(name.encode()).hexdigest())
