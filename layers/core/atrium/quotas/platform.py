"""The platform limit: the maximum number of concurrent turns of all tenants together.

    CONCURRENCY#<n>   SLOTS   slots {<run>: lease expiry}     n = 0 … N-1, each in a separate partition

Each of the N items (at most 100) has a share of about 12 slots or more. A run acquires a slot in the item selected by
the hash of its id or, if this item is full, in another item. If all items are full, the process rejects turns for 1 s
without a table call. A reservation contains the number of its item, because N changes with the limit.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import RunId
from atrium.quotas.decisions import SLOT_SECONDS
from atrium.quotas.item import MOVED_MAX, ItemUpdate
from atrium.quotas.model import Rejected, lease_end, slot_name
from atrium.storage import platform_keys
from atrium.storage.table import PlatformTable

SHARE = 12
ITEMS_MAX = 100
"""Maximum number of items, because one batch reads at most 100 items. With a larger limit, items have more slots."""
_FULL_SECONDS = 1.0
_ITEMS_ASKED = 6
_TAKE_ATTEMPTS = 3


@dataclass(slots=True)
class PlatformLimit:
    """Counts concurrent turns against `maximum`. Use one object per process; a rejection is cached for 1 s."""

    table: PlatformTable
    maximum: int
    clock: Clock
    _full_until: float = field(default=0.0, init=False)

    @property
    def items(self) -> int:
        return max(1, min(ITEMS_MAX, self.maximum // SHARE))

    def share(self, item: int) -> int:
        """Return the number of slots of one item."""
        whole, rest = divmod(self.maximum, self.items)
        return whole + (item < rest)

    def admit(self, run_id: RunId) -> int | Rejected:
        """Acquire a slot and return the number of its item, or return a rejection. Idempotent for each run."""
        rejected = self.rejection()
        if rejected is not None:
            return rejected
        name = slot_name(run_id)
        home = int.from_bytes(sha256(name.encode()).digest()[:4]) % self.items
        if self._take(home, name):
            return home
        with_room = self._with_room(self._read_all())
        for item in with_room[:_ITEMS_ASKED]:
            if self._take(item, name):
                return item
        if not with_room:
            self._full_until = time.monotonic() + _FULL_SECONDS
        return self._reject(self.maximum)

    def rejection(self) -> Rejected | None:
        """Return a rejection without a table call if the platform was full within the last second, otherwise None."""
        return self._reject(self.maximum) if time.monotonic() < self._full_until else None

    def check(self) -> Rejected | None:
        """Return a rejection if no item has a free slot. Costs one batch read; nothing is written."""
        found = self._read_all()
        if self._with_room(found):
            return None
        return self._reject(sum(self._running(item) for item in found))

    def renew(self, run_id: RunId, item: int) -> bool:
        """Renew a slot's lease. Return False if the slot was removed after its lease expired."""
        update = ItemUpdate()
        path = f"slots.{slot_name(run_id)}"
        update.require("attribute_exists({0})", path)
        update.set(path, lease_end(self.clock().timestamp()))
        return self._apply(item, update) is None

    def release(self, run_id: RunId, item: int) -> None:
        """Release a slot. Idempotent."""
        update = ItemUpdate()
        path = f"slots.{slot_name(run_id)}"
        update.require("attribute_exists({0})", path)
        update.remove(path)
        self._apply(item, update)

    def undo(self, run_id: RunId) -> None:
        """Release a slot whose item is unknown, because the reply to its write was lost. Idempotent."""
        for item, found in enumerate(self._read_all()):
            if slot_name(run_id) in found.get("slots", {}):
                self.release(run_id, item)

    def _take(self, item: int, name: str) -> bool:
        """Acquire a slot in an item. In a full item, remove expired slots first. Return False if no slot is free."""
        found: Mapping[str, Any] | None = None
        for _ in range(_TAKE_ATTEMPTS):
            update, takes = self._taking(self.share(item), name, found)
            if update is None:
                return False
            found = self._apply(item, update)
            if found is None:
                return takes
            if name in found.get("slots", {}):  # an earlier attempt succeeded and its reply was lost
                return True
        return False

    def _taking(self, share: int, name: str, found: Mapping[str, Any] | None) -> tuple[ItemUpdate | None, bool]:
        """Return the update of an item (None if it is full), and whether the update acquires a slot."""
        update, path, room = ItemUpdate(), f"slots.{name}", share
        if found is not None and not found:
            update.require("attribute_not_exists({0})", "slots")
            update.set("slots", {name: lease_end(self.clock().timestamp())})
            return update, True
        if found:
            slots: Mapping[str, Any] = found["slots"]
            expired = [each for each, until in slots.items() if until < self.clock().timestamp()]
            if len(slots) - len(expired) >= share:
                return None, False
            for each in expired[:MOVED_MAX]:
                update.require("{0} = {1}", f"slots.{each}", slots[each])
                update.remove(f"slots.{each}")
            room += len(expired[:MOVED_MAX])
            if len(slots) >= room:
                return update, False
        update.require("attribute_exists({0}) AND size({0}) < {1}", "slots", room)
        update.require("attribute_not_exists({0})", path)
        update.set(path, lease_end(self.clock().timestamp()))
        return update, True

    def _apply(self, item: int, update: ItemUpdate) -> Mapping[str, Any] | None:
        """Write an update. Return None on success, otherwise the current item (empty if it does not exist)."""
        try:
            self.table.write(update.build(platform_keys.platform_concurrency(item)))
        except ConditionFailed as failed:
            return failed.item or {}
        return None

    def _read_all(self) -> list[Mapping[str, Any]]:
        places = [platform_keys.platform_concurrency(item) for item in range(self.items)]
        found = self.table.batch_get(places)
        return [found.get(place, {}) for place in places]

    def _with_room(self, found: Sequence[Mapping[str, Any]]) -> list[int]:
        """Return the numbers of the items with free slots, those with the most free slots first."""
        room = {item: self.share(item) - self._running(read) for item, read in enumerate(found)}
        return sorted((item for item, free in room.items() if free > 0), key=lambda item: -room[item])

    def _running(self, item: Mapping[str, Any]) -> int:
        return sum(until >= self.clock().timestamp() for until in item.get("slots", {}).values())

    def _reject(self, used: int) -> Rejected:
        now = self.clock().timestamp()
        return Rejected("platform_concurrency", "platform", used, self.maximum, now + SLOT_SECONDS, SLOT_SECONDS)
