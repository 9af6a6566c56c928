"""The counters of an admission item: which limit is counted how, and what the attributes are called.

    roll                     the newest second that the item knows: its own time
    rn tn kn                 requests, tokens, tool calls in the window
    r00 … r60, t… k…         the same by second, modulo 61: a second counts whole until all of it is 60 s old
    rd20261121 sd…           requests, sessions of a UTC day
    tm202611 cm202611        tokens, nano-dollars of a UTC month
    xn                       live slots of a subject (the tenant's are the size of `slots`)
    slots late               live leases; leases that are over but not settled: they hold money and tokens, no slot
    sv ev                    how often a settlement has corrected a second; how often items have evened out
    fence                    a rebuild that has looked and not yet corrected

Names are short because every write pays for the whole item. A subject's counters have its prefix before them.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

from atrium.quotas.model import LimitName

type Span = Literal["minute", "day", "month", "slots"]

WINDOW_SECONDS = 60
DAY_SECONDS = 86_400
BUCKETS = WINDOW_SECONDS + 1
MINUTE_LETTERS = "rtk"

_BUCKET = re.compile(r"((?:[uka][0-9a-f]{6}_)?[rtk])(\d\d)")
_DATED = re.compile(r"(?:[uka][0-9a-f]{6}_)?[rstc][dm](\d{8}|\d{6})")


@dataclass(frozen=True, slots=True)
class Meter:
    """How a limit is counted: the letter of what is counted, and over what."""

    limit: LimitName
    letter: str
    span: Span

    def attribute(self, prefix: str, second: int) -> str:
        """Return the attribute that the limit is compared with, at a moment."""
        match self.span:
            case "minute" | "slots":
                return f"{prefix}{self.letter}n"
            case "day":
                return f"{prefix}{self.letter}d{moment(second):%Y%m%d}"
            case "month":
                return f"{prefix}{self.letter}m{moment(second):%Y%m}"


METERS: dict[LimitName, Meter] = {
    meter.limit: meter
    for meter in (
        Meter("requests_per_minute", "r", "minute"),
        Meter("tokens_per_minute", "t", "minute"),
        Meter("tool_calls_per_minute", "k", "minute"),
        Meter("requests_per_day", "r", "day"),
        Meter("sessions_per_day", "s", "day"),
        Meter("tokens_per_month", "t", "month"),
        Meter("cost_per_month", "c", "month"),
        Meter("concurrent_turns", "x", "slots"),
    )
}


def moment(second: float) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def bucket(family: str, second: int) -> str:
    """Return the attribute of one second; `family` is a prefix and a letter."""
    return f"{family}{second % BUCKETS:02}"


def read_bucket(attribute: str, roll: int) -> tuple[str, int] | None:
    """Return the family and the second that an attribute stands for in an item of that `roll`, if it is one."""
    found = _BUCKET.fullmatch(attribute)
    if found is None:
        return None
    return found[1], roll - (roll - int(found[2])) % BUCKETS


def is_outdated(attribute: str, second: int) -> bool:
    """Tell whether a day's counter is older than yesterday, or a month's older than the last one."""
    found = _DATED.fullmatch(attribute)
    if found is None:
        return False
    now = moment(second)
    if len(found[1]) == 8:
        return found[1] < f"{moment(second - 86_400):%Y%m%d}"
    last = (now.year, now.month - 1) if now.month > 1 else (now.year - 1, 12)
    return found[1] < f"{last[0]:04}{last[1]:02}"


def frees_at(span: Span, second: int) -> float:
    """Return when a day or a month ends, UTC."""
    now = moment(second)
    if span == "day":
        return float((second // 86_400 + 1) * 86_400)
    following = (now.year + now.month // 12, now.month % 12 + 1)
    return datetime(*following, 1, tzinfo=UTC).timestamp()


def window_seconds(span: Span, now: float) -> int | None:
    """Return how long a window is: a month as long as this one; None for slots."""
    match span:
        case "minute":
            return WINDOW_SECONDS
        case "slots":
            return None
        case "day":
            return DAY_SECONDS
        case "month":
            today = moment(now)
            return monthrange(today.year, today.month)[1] * DAY_SECONDS


def prefix_of(scope: str, subject_id: str) -> str:
    """Return what a subject's counters begin with: its kind and 24 bits of its id, for twenty neighbours."""
    return f"{scope[0]}{sha256(subject_id.encode()).hexdigest()[:6]}_"
