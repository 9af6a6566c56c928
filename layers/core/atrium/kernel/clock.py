"""Time, passed in as a `Clock`, so that tests can set it."""

from collections.abc import Callable
from datetime import UTC, datetime

type Clock = Callable[[], datetime]


def read_clock() -> datetime:
    """Return the current time in UTC; the `Clock` of production."""
    return datetime.now(UTC)


def format_time(moment: datetime) -> str:
    """Format as RFC 3339 in UTC with milliseconds, which sorts as text: `2026-11-21T08:50:47.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Parse RFC 3339; raise `ValueError` if the text is not a time or has no zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone")
    return moment.astimezone(UTC)


def format_epoch(seconds: int) -> str:
    return format_time(datetime.fromtimestamp(seconds, UTC))


def epoch_seconds(moment: datetime) -> int:
    return int(moment.timestamp())
