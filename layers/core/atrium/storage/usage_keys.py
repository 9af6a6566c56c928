"""Table keys of what is derived from the ledger: aggregates, totals and comparisons. `keys.py` documents all items."""

from atrium.storage.keys import MONTH_TOTALS, Key


def month_total(month_text: str) -> Key:
    """Return the key of the item that stores a month's total after the tenant's ledger was erased."""
    return Key("", f"{MONTH_TOTALS}{month_text}")


def usage_day(day: str) -> str:
    """Return the partition of a day's usage aggregates."""
    return f"USAGE#{day}"


def usage(day: str, group: str, value: str = "") -> Key:
    """Return the key of an item with usage aggregates of a day.

    Without `value`, this is the shared item, such as `usage("2026-11-21", "TOTAL")`. With `value`, this is the item of
    one value of a group, such as one user.
    """
    return Key(usage_day(day), f"{group}#{value}" if value else group)


def usage_values(day: str, group: str, after: str) -> tuple[str, tuple[str, str]]:
    """Return the partition of a day's usage aggregates, and a range of sort keys.

    The range contains the values of a group that follow `after`, or all values if `after` is empty.
    """
    last = f"{group}{chr(ord('#') + 1)}"
    return usage_day(day), (f"{group}#{after}\0" if after else f"{group}#", last)


def rebuild() -> Key:
    """Return the key of the item that stores a tenant's last rebuild of counters, which may still be running."""
    return Key("", "REBUILD")


def drift() -> Key:
    """Return the key of the item that stores the last comparison of a tenant's counters with its ledger."""
    return Key("", "DRIFT")
