"""Reads the usage that a caller may see, and counts ledger entries from the table's stream."""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from atrium.kernel.errors import AtriumError, ScopeRequired, Unavailable
from atrium.kernel.ids import TenantId
from atrium.storage.table import TenantTable
from atrium.tenants.context import TenantContext
from atrium.usage.model import Arrival, Figures, Group, Period, SumKey, principal_group
from atrium.usage.shared import SHARED
from atrium.usage.sums import SumStore, first_of, split

_ATTEMPTS = 4
_PAUSE_SECONDS_MAX = 0.2
_READERS_MAX = 8


@dataclass(frozen=True, slots=True)
class UsageService:
    """Reads the usage that a caller may see: the tenant's usage with the scope `admin`, otherwise the caller's."""

    context: TenantContext
    sums: SumStore

    def by_day(self, period: Period) -> dict[date, Figures]:
        """Return the usage of the days in a period, oldest first. Days without usage are omitted."""
        principal = self.context.principal
        if principal.sees_all:
            wanted = [SumKey(day, "TOTAL") for day in period.days()]
        else:
            group = principal_group(principal.id)
            wanted = [SumKey(day, group, principal.id) for day in period.days()] if group else []
        found = self.sums.read(wanted)
        return {key.day: found[key] for key in wanted if key in found}

    def check(self, group: str) -> None:
        """Raise `ScopeRequired` if the caller may not see usage by this group."""
        principal = self.context.principal
        if not principal.sees_all and principal_group(principal.id) != group:
            raise ScopeRequired(
                f"Usage by {group.lower()} requires the scope `admin`. Without it you can read only your usage."
            )

    def by_group(self, days: Mapping[date, Figures], group: Group, *, after: str, limit: int) -> dict[str, Figures]:
        """Return the first `limit` values of a group after `after`, with their usage over `days` (from `by_day`).

        Costs one query per day. Models, agents and tools usually cost only half a read unit per day.
        """
        self.check(group)
        principal = self.context.principal
        if not principal.sees_all:
            return {principal.id: sum(days.values(), Figures())} if days and principal.id > after else {}
        shared = self.sums.read_shared(days) if group in SHARED else {}

        def read(day: date) -> dict[str, Figures]:
            return self.sums.first(day, group, after=after, limit=limit, shared=shared.get(day, {}))

        with ThreadPoolExecutor(min(_READERS_MAX, max(1, len(days)))) as readers:
            return first_of(readers.map(read, days), limit)


@dataclass(frozen=True, slots=True)
class UsageCounter:
    """Counts ledger entries of several tenants. Concurrent counts for one tenant are correct, but may need retries."""

    table_for: Callable[[TenantId], TenantTable]
    sleep: Callable[[float], None] = time.sleep

    def count(self, arrivals: Iterable[Arrival]) -> dict[str, AtriumError]:
        """Count the arrivals. Return the errors by sequence number, so that the stream delivers these entries again."""
        failures: dict[str, AtriumError] = {}
        ordered = sorted(arrivals, key=lambda arrival: arrival.entry.tenant_id)
        for tenant_id, group in groupby(ordered, key=lambda arrival: arrival.entry.tenant_id):
            sums = SumStore(self.table_for(tenant_id))
            for chunk in split(group):
                try:
                    self._count(sums, chunk)
                except Unavailable as error:
                    failures |= {arrival.sequence: error for arrival in chunk}
        return failures

    def _count(self, sums: SumStore, chunk: list[Arrival]) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return sums.count(chunk)
            except Unavailable:
                if attempt == _ATTEMPTS:
                    raise
            self.sleep(random.uniform(0, _PAUSE_SECONDS_MAX))  # noqa: S311 - jitter, not a secret
        return None
