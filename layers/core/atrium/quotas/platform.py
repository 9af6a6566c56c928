"""The platform limit: how many turns of all tenants together may run at once.

    CONCURRENCY#<n>   SLOTS   slots {<run>: lease expiry}     n = 0 … N-1, each a partition of its own

Each of N items has a share of about 12 slots; the shares sum exactly to the limit. A run asks the item of its hash. If
that is full, all items are read and those with room are asked. A full platform is remembered for a second, by
container, so that rejections cost nothing. Which item counts a run is part of its reservation, because another
version of the platform may have another N. When the last slots race, a run may be rejected that a moment later would
have fitted.
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
from atrium.quotas.model import LEASE_SECONDS, Rejected, slot_name
from atrium.storage import keys
from atrium.storage.table import PlatformTable

SHARE = 12
ITEMS_MAX = 100
"""As many as one batch reads; a larger limit has larger shares."""
_FULL_SECONDS = 1.0
_ITEMS_ASKED = 6
_TAKE_ATTEMPTS = 3


@dataclass(slots=True)
class PlatformLimit:
    """Counts turns against `maximum`. One object a container: it remembers that the platform is full."""

    table: PlatformTable
    maximum: int
    clock: Clock
    _full_until: float = field(default=0.0, init=False)

    @property
    def items(self) -> int:
        return max(1, min(ITEMS_MAX, self.maximum // SHARE))

    def share(self, item: int) -> int:
        """Return the slots of one item."""
        whole, rest = divmod(self.maximum, self.items)
        return whole + (item < rest)

    def admit(self, run_id: RunId) -> int | Rejected:
        """Take a slot; returns the item that counts it. Safe to repeat for the same run."""
        rejected = self.rejection()
        if rejected is not None:
            return rejected
        name = slot_name(run_id)
        home = int.from_bytes(sha256(name.encode()).digest()[:4]) % self.items
        if self._take(home, name):
            return home
        for item in self._with_room(self._read_all())[:_ITEMS_ASKED]:
            if self._take(item, name):
                return item
        self._full_until = time.monotonic() + _FULL_SECONDS
        return self._reject(self.maximum)

    def rejection(self) -> Rejected | None:
        """Return the rejection of a turn without asking the table, where the platform was full a moment ago."""
        return self._reject(self.maximum) if time.monotonic() < self._full_until else None

    def check(self) -> Rejected | None:
        """Tell by a read whether there is room; nothing is written."""
        found = self._read_all()
        if self._with_room(found):
            return None
        return self._reject(sum(self._running(item) for item in found))

    def renew(self, run_id: RunId, item: int) -> bool:
        """Renew a slot's lease; False where the slot went to another run after its lease was over."""
        update = ItemUpdate()
        path = f"slots.{slot_name(run_id)}"
        update.require("attribute_exists({0})", path)
        update.set(path, self._lease())
        return self._apply(item, update) is None

    def release(self, run_id: RunId, item: int) -> None:
        """Give a slot back, once; a slot that is gone is no error."""
        update = ItemUpdate()
        path = f"slots.{slot_name(run_id)}"
        update.require("attribute_exists({0})", path)
        update.remove(path)
        self._apply(item, update)

    def _take(self, item: int, name: str) -> bool:
        """Take a slot of an item; slots whose lease is over make room, where nobody renewed them meanwhile."""
        found: Mapping[str, Any] | None = None
        for _ in range(_TAKE_ATTEMPTS):
            update, takes = self._taking(self.share(item), name, found)
            if update is None:
                return False
            found = self._apply(item, update)
            if found is None:
                return takes
            if name in found.get("slots", {}):  # it may be this very write, whose reply was lost
                return True
        return False

    def _taking(self, share: int, name: str, found: Mapping[str, Any] | None) -> tuple[ItemUpdate | None, bool]:
        """Return the write that takes a slot of an item as it was found, and whether it does; None where it is full.

        Where a lowered limit left more expired slots than one write removes, it only removes: who asks next finds less.
        """
        update, path, room = ItemUpdate(), f"slots.{name}", share
        if found is not None and not found:
            update.require("attribute_not_exists({0})", "slots")
            update.set("slots", {name: self._lease()})
            return update, True
        if found:
            slots: Mapping[str, Any] = found["slots"]
            expired = [each for each, until in slots.items() if until < self._now()]
            if len(slots) - len(expired) >= share:
                return None, False
            for each in expired[:MOVED_MAX]:
                update.require("{0} = {1}", f"slots.{each}", slots[each])
                update.remove(f"slots.{each}")
            room += len(expired[:MOVED_MAX])
            if len(slots) >= room:
                return update, False
        update.require("size({0}) < {1}", "slots", room)
        update.require("attribute_not_exists({0})", path)
        update.set(path, self._lease())
        return update, True

    def _apply(self, item: int, update: ItemUpdate) -> Mapping[str, Any] | None:
        """Write; None where it applied, else the item that stood there, empty where there is none."""
        try:
            self.table.write(update.build(keys.platform_concurrency(item)))
        except ConditionFailed as failed:
            return failed.item or {}
        return None

    def _read_all(self) -> list[Mapping[str, Any]]:
        places = [keys.platform_concurrency(item) for item in range(self.items)]
        found = self.table.batch_get(places)
        return [found.get(place, {}) for place in places]

    def _with_room(self, found: Sequence[Mapping[str, Any]]) -> list[int]:
        """Return the items that have room, those with most of it first."""
        room = {item: self.share(item) - self._running(read) for item, read in enumerate(found)}
        return sorted((item for item, free in room.items() if free > 0), key=lambda item: -room[item])

    def _running(self, item: Mapping[str, Any]) -> int:
        return sum(until >= self._now() for until in item.get("slots", {}).values())

    def _reject(self, used: int) -> Rejected:
        now = self._now()
        return Rejected("platform_concurrency", "platform", used, self.maximum, now + SLOT_SECONDS, SLOT_SECONDS)

    def _lease(self) -> int:
        return int(self._now()) + 1 + LEASE_SECONDS

    def _now(self) -> float:
        return self.clock().timestamp()
