"""One who guesses waits longer each time: five attempts at once, then 1 s, 2 s, 4 s … up to 15 minutes, until he
succeeds or has stayed away for a day. Kept for each pair of email and address, so that it holds nobody else up.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.storage.keys import Key
from atrium.storage.table import PlatformTable
from atrium.storage.writes import ANY, NEW, Delete, Put

FREE = 5
DELAY_SECONDS_MAX = 900
FORGOTTEN_SECONDS = 86_400
_ATTEMPTS = 16
_AS_SEEN = "#mark = :seen"


@dataclass(frozen=True, slots=True)
class Waiting:
    """No attempt is let through before then."""

    failures: int
    until: datetime


def delay_seconds(failures: int) -> int:
    """Return how long to wait after so many failures in a row."""
    return 0 if failures < FREE else min(2 ** min(failures - FREE, 30), DELAY_SECONDS_MAX)


def attempt(table: PlatformTable, key: Key, *, now: datetime) -> Waiting | None:
    """Count an attempt as failed before it is made, so that many at once are no more than one after the other.

    None lets it through; `forget` when it succeeds.
    """
    moment, mark = int(now.timestamp() * 1000), secrets.token_hex(8)
    found: Mapping[str, Any] | None = table.get(key)
    for _ in range(_ATTEMPTS):
        if found and found["mark"] == mark:
            return None  # our own write, whose reply was lost
        alive = found is not None and found["expires_at"] > moment
        failures = int(found["failures"]) if found is not None and alive else 0
        if found is not None and alive and found["not_before"] > moment:
            return Waiting(failures, datetime.fromtimestamp(found["not_before"] / 1000, UTC))
        expires_at = moment + FORGOTTEN_SECONDS * 1000
        item = {
            "failures": failures + 1,
            "not_before": moment + delay_seconds(failures + 1) * 1000,
            "expires_at": expires_at,
            "ttl": expires_at // 1000,
            "mark": mark,
        }
        condition, values = (_AS_SEEN, {"seen": found["mark"]}) if found else (NEW, {})
        try:
            table.write(Put(key, item, condition, values))
        except ConditionFailed as failed:
            found = failed.item or table.get(key)
            continue
        return None
    raise Unavailable(internal="a login's back-off met others too often", retry_after_seconds=1)


def forget(table: PlatformTable, key: Key) -> None:
    """Begin anew: the attempt succeeded."""
    table.write(Delete(key, ANY))
