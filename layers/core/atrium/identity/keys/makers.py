"""The keys that somebody made. A key outlives its maker, unless it is asked otherwise."""

from datetime import datetime

from atrium.identity.keys.store import KeyStore
from atrium.kernel.ids import KeyId
from atrium.kernel.pagination import LIMIT_MAX, PageRequest, Position
from atrium.storage.table import TenantTable


def revoke_keys_of(table: TenantTable, maker_id: str, *, now: datetime) -> list[KeyId]:
    """End the keys that a user made and return them; again, as after a call that broke off, is no error."""
    store, revoked = KeyStore(table), list[KeyId]()
    position: Position | None = None
    while True:
        page = store.list(PageRequest(LIMIT_MAX, position))
        for key in page.items:
            if key.created_by == maker_id:
                store.revoke(key.id, at=now, now=now)
                revoked.append(key.id)
        position = page.position
        if position is None:
            return revoked
