"""A look at all of a tenant's admission items that is as good as one moment.

Each item is looked at by a write that moves its own time on by at least a second. Whatever it admitted before has an
earlier second than the fence, whatever it admits later has not; so the ledger, read afterwards at leisure, tells which
calls the counters of the look know. Items exchange counters only by evening, which counts itself in `ev`: had it
happened between the first look and the last, the looks are taken again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.quotas.charges import Entry
from atrium.quotas.listing import read_shards
from atrium.quotas.state import State
from atrium.quotas.store import ATTEMPTS_MAX, AdmissionStore
from atrium.quotas.writing import Writing
from atrium.storage.keys import Key
from atrium.storage.writes import Update

FENCE = "fence"
_LOOKS_MAX = 8
_LOST_SECONDS = 3  # an item that is gone may have been ahead of our clock by a little


@dataclass(frozen=True, slots=True)
class Look:
    """An admission item as it was at its fence: calls counted in `second` or later came after it."""

    shard: int
    second: int
    item: Mapping[str, Any]

    @property
    def slots(self) -> Mapping[str, Mapping[str, Any]]:
        """What is held: live leases, and those that are over but not settled."""
        return {**self.item.get("slots", {}), **self.item.get("late", {})}


class _Fence(Writing):
    """A write that only moves the item's time on, and leaves a token if asked to."""

    def __init__(self, state: State, token: str | None) -> None:
        super().__init__(Entry(()), state)
        self._token = token

    def update(self, key: Key) -> Update:
        if self._token is not None:
            self._expression.set(FENCE, self._token)
        return super().update(key)


def look(store: AdmissionStore, shards: Sequence[int] = (), *, token: str | None = None) -> list[Look]:
    """Look at every admission item that there is, and at some that should be. Two write units each, as a rule.

    A subject that is counted apart has one item, and nothing evens it out.
    """
    if store.place:
        return [_fence(store, 0, token)]
    for _ in range(_LOOKS_MAX):
        every = sorted({*read_shards(store.table), *shards})
        looks = [_fence(store, shard, token) for shard in every]
        if len(looks) <= 1 or _evenings(read_shards(store.table), every) == [each.item.get("ev", 0) for each in looks]:
            return looks
    raise Unavailable(internal="admission items went on to even out", retry_after_seconds=1)


def _fence(store: AdmissionStore, shard: int, token: str | None) -> Look:
    key = store.key_of(shard)
    item = store.read(shard)
    for _ in range(ATTEMPTS_MAX):
        roll = State(item, 0).roll
        clock = store.clock().timestamp()
        now = clock + _LOST_SECONDS if roll is None else max(clock, roll + 1)
        state = State(item, now)
        before = state.before_many()
        try:
            item = store.table.write(_Fence(before or state, token).update(key))
        except ConditionFailed as refused:
            item = refused.item
        else:
            if before is None:
                return Look(shard, int(item["roll"]), item)
    raise Unavailable(internal="an admission item stayed contended", retry_after_seconds=1)


def _evenings(items: Mapping[int, Mapping[str, Any]], shards: Sequence[int]) -> list[int]:
    return [items[shard].get("ev", 0) if shard in items else -1 for shard in shards]
