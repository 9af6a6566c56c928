"""The tool that returns the current time in any time zone."""

import pytest
from atrium.tools.clock import CURRENT_TIME
from atrium.tools.model import ToolRetry

from tests.builders.loops import tool_context
from tests.builders.runtimes import TurnedClock


def read(zone: str | None = None, clock: TurnedClock | None = None) -> object:
    arguments = {} if zone is None else {"timezone": zone}
    return CURRENT_TIME.call(arguments, tool_context(clock))


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (None, "2026-11-21T12:00:00+00:00 (Saturday)"),
        ("UTC", "2026-11-21T12:00:00+00:00 (Saturday)"),
        ("Europe/Berlin", "2026-11-21T13:00:00+01:00 (Saturday)"),
        ("Pacific/Kiritimati", "2026-11-22T02:00:00+14:00 (Sunday)"),
        ("Asia/Kathmandu", "2026-11-21T17:45:00+05:45 (Saturday)"),
    ],
)
def test_time_of_a_zone(zone: str | None, expected: str) -> None:
    assert read(zone) == expected


def test_returns_the_time_of_the_call() -> None:
    clock = TurnedClock()
    context = tool_context(clock)
    clock.advance(90)
    assert CURRENT_TIME.call({}, context) == "2026-11-21T12:01:30+00:00 (Saturday)"


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Europe", "Europe/", "UTC\0", "É"]
)
def test_rejects_unknown_zones(zone: str) -> None:
    """The values include a folder of time zones, paths outside this folder, and text that cannot be a file name."""
    with pytest.raises(ToolRetry, match="unknown time zone"):
        read(zone)
