"""Rebuilding a tenant's counters and sums of a month from its ledger, and comparing them without a change.

Both read the ledger once, after the looks at the counters (`fencing`) and at the sums (`usage.rebuild`); exact whatever
is admitted, settled and counted meanwhile. Reads the month before, too: runs are filed by when they began.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta

from atrium.kernel.clock import Clock
from atrium.kernel.errors import Unavailable
from atrium.quotas.beginning import read_begun
from atrium.quotas.listing import list_apart
from atrium.quotas.rebuild.correcting import correct, plan_corrections
from atrium.quotas.rebuild.fencing import Look, look
from atrium.quotas.rebuild.model import Difference, Drift, RebuildReport
from atrium.quotas.rebuild.tally import CounterTally
from atrium.quotas.store import AdmissionStore
from atrium.storage import keys
from atrium.storage.table import TenantTable
from atrium.usage.model import month_of
from atrium.usage.rebuild import FrozenSums, SumTally, count_uncounted, read_days
from atrium.usage.store import LedgerStore

UNCOUNTED_SECONDS = 900
"""An entry that is not in the sums by then has been forgotten by the stream."""
_READINGS_MAX = 3


@dataclass(frozen=True, slots=True)
class _Reading:
    entries: int
    forgotten: int
    sums: SumTally
    counters: Mapping[str, CounterTally]
    """The tenant's under the empty text, and of each subject that is counted apart under its id."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The items that have to be looked at: shards of the tenant's, and subjects that are counted apart."""

    shards: set[int]
    places: set[str]


@dataclass(frozen=True, slots=True)
class Rebuilder:
    """One tenant's."""

    table: TenantTable
    clock: Clock

    def rebuild(self, month: date, token: str) -> RebuildReport:
        """Make the sums of a month right, and for the running month the counters; safe to repeat.

        `RebuildSuperseded` where somebody began another meanwhile. Counters of a month or day that is over bound
        nothing any more, and are left.
        """
        days = self._days(month)
        frozen = FrozenSums(self.table, token, days)
        frozen.freeze()
        stored = read_days(self.table, days)
        reading = self._read(month, days, token=token)
        differences = _differences(reading.counters)
        sums = frozen.correct(reading.sums, stored)
        for tally in reading.counters.values():
            wanted = {name: tally.wanted[name] for name in tally.differences()}
            added = plan_corrections(tally.looks, wanted, tally.second)
            correct(self._store(tally.place), tally.looks, added, token)
        counted, uncounted = count_uncounted(self.table, _months(month), token)
        return RebuildReport(reading.entries, differences, sums, counted, uncounted)

    def compare(self) -> Drift:
        """Compare the running month's counters and sums with the ledger. Sums that move meanwhile are not judged."""
        now = self.clock().astimezone(UTC)
        days = self._days(now.date())
        before = read_days(self.table, days)
        reading = self._read(now.date(), days, token=None)
        suspect = reading.sums.differing(before)
        after = read_days(self.table, {key.day for key in suspect})
        faulty = [key for key in suspect if before.get(key) == after.get(key)]
        return Drift(now, reading.entries, _differences(reading.counters), len(faulty), reading.forgotten)

    def _look(self, wanted: _Wanted, token: str | None) -> dict[str, Sequence[Look]]:
        apart = {place: look(self._store(place), token=token) for place in sorted(wanted.places)}
        return {"": look(self._store(), sorted(wanted.shards), token=token), **apart}

    def _store(self, place: str = "") -> AdmissionStore:
        store = AdmissionStore(self.table, self.clock)
        return store.at(place) if place else store

    def _days(self, month: date) -> tuple[date, ...]:
        today = self.clock().astimezone(UTC).date()
        return tuple(day for day in month_of(month).days() if day <= today)

    def _read(self, month: date, days: Sequence[date], *, token: str | None) -> _Reading:
        """Look at the counters, then read the ledger; again, where it names items that were not looked at."""
        now = self.clock()
        is_running = keys.month(now.astimezone(UTC)) == keys.month(month)
        overdue = now - timedelta(seconds=UNCOUNTED_SECONDS)
        wanted = _Wanted(set(), set(list_apart(self.table)) if is_running else set())
        for _ in range(_READINGS_MAX):
            looks = self._look(wanted, token) if is_running else {"": []}
            counters = {place: CounterTally(each, int(now.timestamp()), place) for place, each in looks.items()}
            sums = SumTally(frozenset(days))
            entries = forgotten = 0
            for each in _months(month):
                for entry, is_counted in LedgerStore(self.table).read_month(each):
                    entries += 1
                    forgotten += not is_counted and entry.at < overdue
                    wanted.places.update(entry.apart)
                    for place in {"", entry.principal_id, entry.agent_id} & counters.keys():
                        counters[place].add(entry)
                    if is_counted:
                        sums.add(entry)
            for begun in read_begun(self.table, now.astimezone(UTC).date()) if is_running else ():
                wanted.places.update(place for place in begun if place)
                for place in begun.keys() & counters.keys():
                    counters[place].add_begun(begun[place])
            wanted.shards.update(counters[""].unseen)
            is_bare = token is not None and entries > 0 and not looks[""]  # nothing ever bounded a call, or it is lost
            if not is_running or not (is_bare or counters[""].unseen or wanted.places - counters.keys()):
                return _Reading(entries, forgotten, sums, counters)
            if is_bare:
                wanted.shards.add(0)
        raise Unavailable(internal="admission went on to use new items", retry_after_seconds=1)


def _differences(tallies: Mapping[str, CounterTally]) -> tuple[Difference, ...]:
    return tuple(
        Difference(
            limit=name.limit,
            subject=place or name.prefix.removesuffix("_"),
            stored=tally.stored(name),
            expected=tally.wanted[name],
            is_explained=0 < off <= tally.loose[name],
        )
        for place, tally in sorted(tallies.items())
        for name, off in sorted(tally.differences().items(), key=lambda each: (each[0].prefix, each[0].limit))
    )


def _months(month: date) -> list[str]:
    """Return the months in which runs began whose calls may count in a month."""
    return [keys.month(month.replace(day=1) - timedelta(days=1)), keys.month(month)]
