"""Counters that end by themselves: at most so many in a window that begins with the first of them. Exact under any
concurrency: each is counted before it is done, and given back where it turns out not to count.

A reply that was lost makes the SDK count once more: too many are counted then, never too few.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.storage.keys import Key
from atrium.storage.table import PlatformTable
from atrium.storage.writes import Put, Update

_ATTEMPTS = 16
_OVER = "attribute_not_exists(pk) OR #ends_at <= :now"


@dataclass(frozen=True, slots=True)
class Window:
    """Which counter, how many it lets through, and for how long."""

    key: Key
    maximum: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Taken:
    """One was counted, in the window that ends then (epoch, milliseconds)."""

    key: Key
    ends_at: int


@dataclass(frozen=True, slots=True)
class Full:
    """The window is full until then."""

    maximum: int
    until: datetime


def take(table: PlatformTable, window: Window, *, now: datetime) -> Taken | Full:
    """Count one, or say until when none is let through."""
    moment = _milliseconds(now)
    ends_at = moment + window.seconds * 1000
    values = {"one": 1, "max": window.maximum, "now": moment}
    for _ in range(_ATTEMPTS):
        try:
            written = table.write(Update(window.key, "ADD #n :one", "#n < :max AND #ends_at > :now", values))
            return Taken(window.key, written["ends_at"])
        except ConditionFailed as failed:
            found = failed.item or {}
        until = found.get("ends_at", 0)
        if isinstance(until, int) and until > moment:
            return Full(window.maximum, datetime.fromtimestamp(until / 1000, UTC))
        item = {"n": 1, "ends_at": ends_at, "ttl": ends_at // 1000 + 1}
        try:
            table.write(Put(window.key, item, _OVER, {"now": moment}))
        except ConditionFailed:
            continue
        return Taken(window.key, ends_at)
    raise Unavailable(internal="a throttle's counter met others too often", retry_after_seconds=1)


def give_back(table: PlatformTable, taken: Taken) -> None:
    """Count one less, in the very window in which it was counted."""
    values = {"less": -1, "none": 0, "ends_at": taken.ends_at}
    try:
        table.write(Update(taken.key, "ADD #n :less", "#n > :none AND #ends_at = :ends_at", values))
    except ConditionFailed:
        return


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
