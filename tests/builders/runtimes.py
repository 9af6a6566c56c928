"""A `Runtime` for tests: settings from a mapping, a manual clock, and optionally a table."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from atrium.bootstrap import Runtime, RuntimeSource
from atrium.kernel.ids import PolicyId, TenantId
from atrium.kernel.pagination import CursorSigner
from atrium.policy.guard import PolicyCache
from atrium.policy.model import Policy
from atrium.settings import Settings
from atrium.storage.table import PhysicalTable

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class TurnedClock:
    """A clock whose time changes only when a test advances it."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def _remember_an_allow(now: datetime) -> PolicyCache:
    """Return a policy cache in which each test tenant has one policy, which allows everything."""
    cache, all_of_it = PolicyCache(), ("*",)
    policy = Policy(PolicyId("pol_1"), "all", "allow", all_of_it, all_of_it, all_of_it, now, now)
    for tenant in ("ten_01k6r5m2x8f3v9q4w7t1y0z5ab", "ten_01k6r5m2x8f3v9q4w7t1y0z5ac"):
        cache.get(TenantId(tenant), version=1, now=now, read=lambda: [policy])
    return cache


def build_runtime(
    environment: Mapping[str, str] | None = None,
    *,
    table: PhysicalTable | None = None,
    clock: TurnedClock | None = None,
) -> RuntimeSource:
    """Return a function that always returns the same new `Runtime`.

    `environment` contains a function's environment variables, such as `{"PUBLIC_URL": "https://…"}`.
    """
    made = Runtime(Settings.read({"CORS_ORIGINS": "*", **(environment or {})}), clock or TurnedClock())
    made.__dict__["cursors"] = CursorSigner(lambda: b"cursor key of the tests, 32 byte")
    made.__dict__["idempotency_key"] = lambda: b"idempotency key of the tests, 32"
    made.__dict__["table"] = table or PhysicalTable(cast("Any", None), "no table")
    if table is None:
        made.__dict__["policies"] = _remember_an_allow(made.clock())
    return lambda: made
