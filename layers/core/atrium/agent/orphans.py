"""Slots whose lease is long over and whose run nobody will close: it was never recorded, or is gone.

A run that is open settles its own slot when it is closed. So what is found here without one died between its admission
and its opening, and used nothing; or it ended, and then the ledger says what it used.
"""

from dataclasses import replace
from typing import Any

from atrium.agent.closing import RunCloser
from atrium.kernel.ids import RunId
from atrium.quotas.model import Settled, Settlement
from atrium.quotas.settling import hold_of_slot

ORPHAN_GRACE_SECONDS = 60
"""A worker may be slow to record its run; nothing of it is left to come by then."""


def return_orphans(closer: RunCloser, shard: int, place: str = "") -> int:
    """Return the slots of one item (a shard, or a subject's own) that have no run, and what they hold; how many."""
    store = closer.admissions.store.at(place) if place else closer.admissions.store
    item = store.read(shard)
    if item is None:
        return 0
    slots = {**item.get("late", {}), **item.get("slots", {})}
    if not slots:
        store.unmark(shard)
        return 0
    over = closer.clock().timestamp() - ORPHAN_GRACE_SECONDS
    dead = {name: slot for name, slot in slots.items() if slot["e"] < over}
    return sum(isinstance(_return(closer, shard, place, name, slot), Settled) for name, slot in dead.items())


def _return(closer: RunCloser, shard: int, place: str, name: str, slot: dict[str, Any]) -> Settlement | None:
    hold = replace(hold_of_slot(RunId(f"run_{name}"), shard, slot), place=place)
    entry = closer.ledger.find(name)
    if entry is not None:
        return closer.admissions.settle(hold, entry.total_tokens, entry.cost_nanos)
    if closer.runs.exists(name):
        return None
    return closer.admissions.release(hold)
