"""Compares a tenant's counters and usage aggregates with its ledger, or corrects them from the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, timedelta

from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.quotas.item import AdmissionItem, ItemUpdate
from atrium.quotas.model import TENANT
from atrium.quotas.planning import plan_time
from atrium.quotas.rebuild.model import Difference, Drift, RebuildReport
from atrium.quotas.rebuild.tally import CounterTally, Look
from atrium.quotas.store import AdmissionStore
from atrium.storage import keys
from atrium.storage.table import Contended, TenantTable
from atrium.usage.model import month_of
from atrium.usage.rebuild import FrozenSums, RebuildSuperseded, SumTally, count_uncounted, read_days
from atrium.usage.store import LedgerStore

UNCOUNTED_SECONDS = 900
"""Maximum age of a ledger entry that is not yet in the usage aggregates. An older entry was missed by the stream."""
_ATTEMPTS_MAX = 25
_FENCE = "fence"
_LOST_SECONDS = 3
"""Maximum time by which a deleted item may have been ahead of the local clock."""


@dataclass(frozen=True, slots=True)
class _Reading:
    entries: int
    forgotten: int
    sums: SumTally
    counters: Sequence[CounterTally]


@dataclass(frozen=True, slots=True)
class Rebuilder:
    """Corrects or compares the counters and usage aggregates of one tenant."""

    table: TenantTable
    clock: Clock

    @property
    def store(self) -> AdmissionStore:
        return AdmissionStore(self.table, self.clock)

    def rebuild(self, month: date, token: str) -> RebuildReport:
        """Correct the usage aggregates of a month and, for the current month, the counters. Idempotent.

        Also deletes items of the previous layout. Raises `RebuildSuperseded` if another rebuild has taken over.
        """
        days = self._days(month)
        frozen = FrozenSums(self.table, token, days)
        frozen.freeze()
        stored = read_days(self.table, days)
        looks = self._look(token) if self._is_running(month) else []
        reading = self._read(month, days, looks)
        differences = _differences(reading.counters)
        sums = frozen.correct(reading.sums, stored)
        for tally in reading.counters:
            self._correct(tally, token)
        if looks:
            self.store.remove_old()
        counted, uncounted = count_uncounted(self.table, _months(month), token)
        return RebuildReport(reading.entries, differences, sums, counted, uncounted)

    def compare(self) -> Drift:
        """Compare the current month's counters and aggregates with the ledger. Aggregates that change are ignored."""
        now = self.clock().astimezone(UTC)
        days = self._days(now.date())
        before = read_days(self.table, days)
        reading = self._read(now.date(), days, self._look(None))
        suspect = reading.sums.differing(before)
        after = read_days(self.table, {key.day for key in suspect})
        faulty = [key for key in suspect if before.get(key) == after.get(key)]
        return Drift(now, reading.entries, _differences(reading.counters), len(faulty), reading.forgotten)

    def _look(self, token: str | None) -> list[Look]:
        """Fence every admission item and return the looks.

        If the tenant's item is missing, a rebuild creates it; a comparison treats it as empty and ignores newer usage.
        """
        found = self.store.list()
        missing = [] if TENANT in found or token else [Look(TENANT, int(self.store.now()) - _LOST_SECONDS, {})]
        if token:
            for scope_id in {TENANT, *self.store.old_scopes()}:
                found.setdefault(scope_id, self.store.item(None))
        return [*missing, *(self._fence(scope_id, item, token) for scope_id, item in sorted(found.items()))]

    def _fence(self, scope_id: str, item: AdmissionItem, token: str | None) -> Look:
        key, attributes = keys.admission(scope_id), {} if token is None else {_FENCE: token}
        for _ in range(_ATTEMPTS_MAX):
            ahead = item.now + _LOST_SECONDS if item.time is None else max(item.now, item.time + 1)
            item = replace(item, now=float(int(ahead)))
            try:
                written = self.table.write(replace(plan_time(key, item, **attributes), returns=True))
                return Look(scope_id, item.at, written)
            except ConditionFailed as failed:
                item = self.store.item(failed.item)
            except Contended:
                item = self.store.item(self.table.get(key))
        raise Unavailable(internal="an admission item was changed concurrently in every attempt", retry_after_seconds=1)

    def _read(self, month: date, days: Sequence[date], looks: Sequence[Look]) -> _Reading:
        now = self.clock()
        overdue = now - timedelta(seconds=UNCOUNTED_SECONDS)
        counters = {look.scope_id: CounterTally(look) for look in looks}
        sums = SumTally(frozenset(days))
        entries = forgotten = 0
        for each in _months(month):
            for entry, is_counted in LedgerStore(self.table).read_month(each):
                entries += 1
                forgotten += not is_counted and entry.at < overdue
                for scope_id in {TENANT, entry.principal_id, entry.agent_id} & counters.keys():
                    counters[scope_id].add(entry)
                if is_counted:
                    sums.add(entry)
        for counted in self.store.read_session_marks(now.astimezone(UTC).date()) if looks else ():
            for scope_id in counted.keys() & counters.keys():
                counters[scope_id].add_session(counted)
        return _Reading(entries, forgotten, sums, list(counters.values()))

    def _correct(self, tally: CounterTally, token: str) -> None:
        """Add the differences to an item's counters and remove the fence token. Idempotent."""
        update = ItemUpdate()
        update.require("{0} = {1}", _FENCE, token)
        update.remove(_FENCE)
        for name, more in tally.differences().items():
            update.add(tally.attribute(name), more)
        try:
            self.table.write(update.build(keys.admission(tally.look.scope_id)))
        except ConditionFailed as failed:
            if _FENCE in (failed.item or {}):
                raise RebuildSuperseded from failed
            # otherwise this write succeeded before and its reply was lost

    def _days(self, month: date) -> tuple[date, ...]:
        today = self.clock().astimezone(UTC).date()
        return tuple(day for day in month_of(month).days() if day <= today)

    def _is_running(self, month: date) -> bool:
        return keys.month(self.clock().astimezone(UTC)) == keys.month(month)


def _differences(tallies: Sequence[CounterTally]) -> tuple[Difference, ...]:
    return tuple(
        Difference(
            limit=name,
            subject=tally.look.scope_id,
            stored=tally.stored(name),
            expected=tally.wanted[name],
            is_explained=0 < off <= tally.unrecorded[name],
        )
        for tally in tallies
        for name, off in sorted(tally.differences().items())
    )


def _months(month: date) -> list[str]:
    """Return the months of the ledger that may contain runs counted in a month: the month and the month before."""
    return [keys.month(month.replace(day=1) - timedelta(days=1)), keys.month(month)]
