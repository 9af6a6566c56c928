"""Runs requested rebuilds, and compares every tenant's counters with the ledger once a day."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from atrium.kernel.clock import Clock
from atrium.kernel.errors import AtriumError
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import Page, PageRequest
from atrium.quotas.rebuild.model import Drift, Rebuild
from atrium.quotas.rebuild.service import Rebuilder
from atrium.quotas.rebuild.store import RebuildStore, is_alive
from atrium.storage import platform_keys
from atrium.storage.table import PlatformTable, TenantTable
from atrium.storage.writes import ANY, Put
from atrium.tenants.model import Tenant
from atrium.usage.rebuild import RebuildSuperseded

_RUNS_MAX = 5
"""Maximum number of runs of a rebuild that is requested again while it is running."""


def run_rebuild(table: TenantTable, clock: Clock, rebuild_id: str) -> Rebuild | None:
    """Run a requested rebuild, or take it over. Return None if it is finished or another worker has taken it over."""
    store = RebuildStore(table)
    for _ in range(_RUNS_MAX):
        claimed = store.claim(rebuild_id, now=clock())
        if claimed is None:
            return None
        try:
            report = Rebuilder(table, clock).rebuild(claimed.month, claimed.worker)
        except RebuildSuperseded:
            return None
        done = store.finish(claimed, report, now=clock())
        if done is not None:
            return done
    return None


def compare(table: TenantTable, clock: Clock) -> Drift | None:
    """Compare a tenant's counters with its ledger and store the result. Return None while a rebuild is running.

    A failed rebuild is first run again, because it may have left frozen days, in which no usage is counted.
    """
    store = RebuildStore(table)
    standing = store.get()
    if standing is not None and standing.status != "succeeded":
        if is_alive(standing, clock()):
            return None
        run_rebuild(table, clock, standing.id)
    drift = Rebuilder(table, clock).compare()
    store.put_drift(drift)
    return drift


@dataclass(frozen=True, slots=True)
class DriftRound:
    """Compares every tenant once a day, in several invocations. The position is stored before each comparison."""

    platform: PlatformTable
    list_tenants: Callable[[PageRequest], Page[Tenant]]
    table_of: Callable[[TenantId], TenantTable]
    clock: Clock

    def run(
        self,
        has_time: Callable[[], bool],
        on_found: Callable[[TenantId, Drift], None],
        on_failure: Callable[[TenantId, AtriumError], None],
    ) -> int:
        """Compare tenants until all are done or the time is up. Return the number of tenants processed."""
        today = self.clock().astimezone(UTC).date().isoformat()
        kept: Mapping[str, Any] = self.platform.get(platform_keys.drift_round()) or {}
        if kept.get("day") != today:
            kept = {"day": today, "position": None, "is_over": False}
        met = 0
        while not kept["is_over"] and has_time():
            page = self.list_tenants(PageRequest(1, kept.get("position")))
            kept = {"day": today, "position": page.position, "is_over": page.position is None}
            self.platform.write(Put(platform_keys.drift_round(), kept, ANY))
            for tenant in page.items:
                met += 1
                try:
                    drift = compare(self.table_of(tenant.id), self.clock)
                except AtriumError as error:
                    on_failure(tenant.id, error)
                else:
                    if drift is not None:
                        on_found(tenant.id, drift)
        return met
