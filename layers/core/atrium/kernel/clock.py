"""The clock type and the RFC 3339 time format.

Code receives the clock as an argument, so that tests can set the time.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

type Clock = Callable[[], datetime]

YEAR_MIN = 1970
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def read_clock() -> datetime:
    """Return the current time in UTC. This is the `Clock` used in production."""
    return datetime.now(UTC)


def format_time(moment: datetime) -> str:
    """Format a time as RFC 3339 in UTC with milliseconds (`2026-11-21T08:50:47.123Z`). The texts sort by time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Parse an RFC 3339 time and return it in UTC.

    Raises `ValueError` for an invalid text and for a year outside 1970 to 9999. The message may be sent to the caller.
    """
    try:
        moment = datetime.fromisoformat(text.upper()) if _RFC_3339.fullmatch(text) else None
        utc = moment.astimezone(UTC) if moment else None
    except (ValueError, OverflowError):
        utc = None
    if utc is None or utc.year < YEAR_MIN:
        raise ValueError(
            "must be an RFC 3339 time with a time zone and a year from 1970 to 9999, such as `2026-11-21T08:50:47Z`"
        )
    return utc


def to_zone(moment: datetime, zone: tzinfo) -> datetime:
    """Return the local time in a zone, or the time in UTC if the local time would be after the year 9999."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment.astimezone(UTC)


def format_epoch(seconds: int) -> str:
    return format_time(datetime.fromtimestamp(seconds, UTC))


def epoch_seconds(moment: datetime) -> int:
    return int(moment.timestamp())
