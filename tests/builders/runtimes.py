"""A Runtime for tests: settings from a mapping, a clock that is turned by hand, and a table where one is given."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from atrium.bootstrap import Runtime, RuntimeSource
from atrium.kernel.pagination import CursorSigner
from atrium.settings import Settings
from atrium.storage.table import PhysicalTable

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class TurnedClock:
    """A clock that stands still until it is turned."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def build_runtime(
    environment: Mapping[str, str] | None = None,
    *,
    table: PhysicalTable | None = None,
    clock: TurnedClock | None = None,
) -> RuntimeSource:
    """Return a source of one Runtime. `environment` is what the function would read: `{"PUBLIC_URL": "https://…"}`."""
    made = Runtime(Settings.read({"CORS_ORIGINS": "*", **(environment or {})}), clock or TurnedClock())
    made.__dict__["cursors"] = CursorSigner(b"cursor key of the tests, 32 byte")
    if table is not None:
        made.__dict__["table"] = table
    return lambda: made
