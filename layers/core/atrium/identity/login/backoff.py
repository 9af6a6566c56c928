"""Delays after failed logins. Each combination of tenant, email and IP address has a separate delay.

The first five attempts have no delay. After that, the delay between attempts is 1, 2, 4 and 8 minutes, and then 15
minutes. A successful login, or a day without an attempt, resets the delay.
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
DELAY_SECONDS = 60
DELAY_SECONDS_MAX = 900
FORGOTTEN_SECONDS = 86_400
_ATTEMPTS = 16
_AS_SEEN = "#mark = :seen"


@dataclass(frozen=True, slots=True)
class Waiting:
    """The result of a refused attempt: the next attempt is allowed at `until`."""

    failures: int
    until: datetime


def delay_seconds(failures: int) -> int:
    """Return the delay in seconds after this number of consecutive failures."""
    return 0 if failures < FREE else min(DELAY_SECONDS * 2 ** min(failures - FREE, 30), DELAY_SECONDS_MAX)


def read_wait(found: Mapping[str, Any] | None, *, now: datetime) -> Waiting | None:
    """Return the delay that is stored in an item, or None if the delay has ended."""
    moment = _milliseconds(now)
    if found is None or found["expires_at"] <= moment or found["not_before"] <= moment:
        return None
    return Waiting(int(found["failures"]), datetime.fromtimestamp(found["not_before"] / 1000, UTC))


def attempt(table: PlatformTable, key: Key, found: Mapping[str, Any] | None, *, now: datetime) -> Waiting | None:
    """Count an attempt as failed before it is made. Return the delay if the attempt is not allowed, otherwise None.

    Counting the attempt first limits concurrent attempts in the same way as sequential attempts. `found` is the stored
    item, or None. Call `forget` if the attempt succeeds.
    """
    moment, mark = _milliseconds(now), secrets.token_hex(8)
    for _ in range(_ATTEMPTS):
        if found and found["mark"] == mark:
            return None  # an earlier attempt of this write succeeded and its response was lost
        waiting = read_wait(found, now=now)
        if waiting is not None:
            return waiting
        alive = found is not None and found["expires_at"] > moment
        failures = int(found["failures"]) if found is not None and alive else 0
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
    raise Unavailable(internal="a login back-off was in conflict with others too often", retry_after_seconds=1)


def forget(table: PlatformTable, key: Key) -> None:
    """Reset the delay after a successful attempt."""
    table.write(Delete(key, ANY))


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
