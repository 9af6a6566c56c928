"""Keys of the ledger, its usage sums, sessions created without a turn, rebuilds and comparisons of counters.

`keys.py` has the overview.
"""

from atrium.kernel.ids import RunId, SessionId
from atrium.storage.keys import Key

OLD_ADMISSIONS = "ADMISSION_OF"
"""The partition of the previous layout's admission items of users, keys and agents; a rebuild deletes them."""


def ledger_month(month_text: str) -> str:
    """Return the partition of the calls whose run began in a month: `2026-11`."""
    return f"LEDGER#{month_text}"


def ledger(month_text: str, run_id: RunId) -> Key:
    return Key(ledger_month(month_text), run_id)


def usage_day(day: str) -> str:
    """Return the partition of a day's sums."""
    return f"USAGE#{day}"


def usage(day: str, group: str, value: str = "") -> Key:
    """Return the item of a day's sum: `usage("2026-11-21", "TOTAL")`, the shared one, or one of a group's values."""
    return Key(usage_day(day), f"{group}#{value}" if value else group)


def usage_values(day: str, group: str, after: str) -> tuple[str, tuple[str, str]]:
    """Return the partition of a day's sums, and the range of those of a group whose value comes after one."""
    last = f"{group}{chr(ord('#') + 1)}"
    return usage_day(day), (f"{group}#{after}\0" if after else f"{group}#", last)


def begun_day(day: str) -> str:
    """Return the partition of the sessions that began on a day without a turn, and were counted."""
    return f"BEGUN#{day}"


def begun(day: str, session_id: SessionId) -> Key:
    return Key(begun_day(day), session_id)


def rebuild() -> Key:
    """Return a tenant's last rebuild of counters, done or under way."""
    return Key("", "REBUILD")


def drift() -> Key:
    """Return what the last comparison of a tenant's counters with its ledger has found."""
    return Key("", "DRIFT")


def drift_round() -> Key:
    """Return how far the day's comparison of all tenants has come; the platform's."""
    return Key("DRIFT", "ROUND")
