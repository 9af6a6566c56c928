"""The performance goals of the design. Each goal contains the path of its measured value in the results."""

from collections.abc import Mapping
from typing import Any

GOALS: tuple[tuple[str, tuple[str, str, str], float], ...] = (
    ("write units of a turn, platform limit off", ("turn", "platform limit off", "write_units"), 10),
    ("write units of a turn, platform limit on", ("turn", "platform limit on", "write_units"), 13),
    ("table calls of a turn, platform limit off", ("turn", "platform limit off", "table_calls"), 9),
    ("table calls of a turn, platform limit on", ("turn", "platform limit on", "table_calls"), 11),
    ("CPU of a turn in ms, platform limit off", ("turn", "platform limit off", "cpu_ms"), 25),
    ("write units of a turn at 50 slots", ("turn", "off, 50 slots taken", "write_units"), 16),
    ("table calls of a start, 5 000 ÷ 10 messages", ("session", "ratio", "table_calls"), 1.2),
    ("time of a start, 5 000 ÷ 10 messages", ("session", "ratio", "p50_ms"), 1.2),
    ("units of the aggregates, 1 tenant", ("aggregates", "1 tenants", "write_units_per_turn"), 6),
    ("units of the aggregates, 1 000 tenants", ("aggregates", "1000 tenants", "write_units_per_turn"), 6),
    ("% rejected in vain, 10/s under 100", ("scattered", "10/s under 100", "rejected_percent"), 0),
    ("% rejected in vain, 50/s under 500", ("scattered", "50/s under 500", "rejected_percent"), 1),
    ("write units of a rejected turn", ("admission", "key + tenant: reject", "write_units"), 0),
)


def check_goals(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each goal with its measured value and its status: met, missed or not measured."""
    goals = []
    for name, path, most in GOALS:
        measured: Any = found
        for part in path:
            measured = (measured or {}).get(part)
        status = "not measured" if measured is None else "met" if measured <= most else "MISSED"
        goals.append({"name": name, "measured": measured, "at_most": most, "status": status})
    return goals
