"""Fixed-window counters. A window starts with its first count and expires automatically.

An attempt is counted before it is made, so concurrent attempts cannot exceed the maximum. The count is removed if the
attempt must not be counted. If the response to a write is lost, the SDK's retry counts the attempt a second time. So a
count may be too high but never too low.
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
    """A counter, its maximum, and the length of its window in seconds."""

    key: Key
    maximum: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Taken:
    """One count in a window. The window ends at `ends_at` (epoch milliseconds)."""

    key: Key
    ends_at: int


@dataclass(frozen=True, slots=True)
class Full:
    """The result of a refused count. The window is full and ends at `until`."""

    maximum: int
    until: datetime


def take(table: PlatformTable, window: Window, *, now: datetime) -> Taken | Full:
    """Increment the counter and return the count. If the window is full, return the time when the window ends."""
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
    raise Unavailable(internal="a throttle counter was in conflict with others too often", retry_after_seconds=1)


def give_back(table: PlatformTable, taken: Taken) -> None:
    """Decrement the counter, unless a new window has started."""
    values = {"less": -1, "none": 0, "ends_at": taken.ends_at}
    try:
        table.write(Update(taken.key, "ADD #n :less", "#n > :none AND #ends_at = :ends_at", values))
    except ConditionFailed:
        return


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
