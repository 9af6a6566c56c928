"""Rebuilds the usage aggregates of a period from the ledger, while the stream continues to be counted (ADR 0073).

    freeze      set a token in the shared item of each day; entries of these days are then no longer counted or marked
    read        read the aggregates, then the marked entries (neither can change); the aggregates should be their sums
    correct     write the items that differ and delete superfluous items, on the condition that the token is unchanged
    thaw        write the shared item without the token
    count       count the unmarked entries

A second rebuild that freezes the days takes over, and the first rebuild can no longer write. If a rebuild fails, the
days remain frozen and their new entries remain unmarked, until the next rebuild thaws the days and counts the entries.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import batched
from typing import Any

from atrium.kernel.errors import ConditionFailed
from atrium.storage import usage_keys
from atrium.storage.keys import Key
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import ANY, Check, Delete, Operation, Put, Update
from atrium.usage.model import GROUPS, Arrival, Figures, LedgerEntry, SumKey
from atrium.usage.service import UsageCounter
from atrium.usage.shared import divide_sums, read_figures, read_item, write_shared
from atrium.usage.store import LedgerStore
from atrium.usage.sums import OPERATIONS_MAX, contributions, merge, sum_key

_PAGE = 1_000
_BATCH = 200
_HELD = "#frozen = :token"


class RebuildSuperseded(Exception):
    """Another rebuild of the same tenant has taken over. This rebuild has stopped writing."""


@dataclass(slots=True)
class SumTally:
    """Computes the expected usage aggregates of some days from ledger entries."""

    days: frozenset[date]
    figures: dict[SumKey, Figures] = field(default_factory=dict)

    def add(self, entry: LedgerEntry) -> None:
        """Add an entry that is marked as counted."""
        for key, figures in contributions(entry).items():
            if key.day in self.days:
                self.figures[key] = self.figures[key] + figures if key in self.figures else figures

    def differing(self, stored: dict[SumKey, Figures]) -> dict[SumKey, Figures]:
        """Return the expected value of each aggregate that has a different stored value."""
        nothing = Figures()
        return {
            key: wanted
            for key in stored.keys() | self.figures.keys()
            if (wanted := self.figures.get(key, nothing)) != stored.get(key, nothing)
        }


@dataclass(frozen=True, slots=True)
class FrozenSums:
    """The usage aggregates of some days of one tenant, frozen with a token."""

    table: TenantTable
    token: str
    days: tuple[date, ...]

    def freeze(self) -> None:
        """Set the token on each day, so that no entries are counted. Replaces the token of an earlier rebuild."""
        for day in self.days:
            self.table.write(Update(_total(day), "SET #frozen = :token REMOVE #thawed", ANY, {"token": self.token}))

    def correct(self, tally: SumTally, stored: dict[SumKey, Figures]) -> int:
        """Write the aggregates that differ, thaw the days, and return the number of aggregates that differed.

        Each day then has the same items as if its entries were counted again. Raises `RebuildSuperseded` if the token
        was replaced.
        """
        for day in self.days:
            shared, own = divide_sums({key: figures for key, figures in tally.figures.items() if key.day == day})
            wanted = {sum_key(key): figures for key, figures in own.items()}
            found = {key: read_figures(item) for key, item in _read_items(self.table, day) if key != _total(day)}
            operations: list[Operation] = [Delete(key, ANY) for key in found.keys() - wanted.keys()]
            operations += [
                Put(key, asdict(figures), ANY) for key, figures in wanted.items() if found.get(key) != figures
            ]
            for some in batched(operations, OPERATIONS_MAX - 1, strict=False):
                self._write(day, some)
            self._thaw(day, write_shared(shared.get(day, {})))
        return len(tally.differing(stored))

    def _write(self, day: date, operations: Iterable[Operation]) -> None:
        try:
            self.table.transact([Check(_total(day), _HELD, {"token": self.token}), *operations])
        except TransactionRefused as refused:
            raise RebuildSuperseded from refused

    def _thaw(self, day: date, shared: dict[str, Any]) -> None:
        """Write the shared item of a day without the token, or delete it if the day has no usage."""
        key, held = _total(day), {"token": self.token}
        item = {**shared, "thawed": self.token}
        try:
            self.table.write(Put(key, item, _HELD, held) if shared else Delete(key, _HELD, held))
        except ConditionFailed as refused:
            found = refused.item or {}
            if "frozen" in found or found.get("thawed", self.token) != self.token:
                raise RebuildSuperseded from refused
            # otherwise this write succeeded before and its response was lost


def read_days(table: TenantTable, days: Iterable[date]) -> dict[SumKey, Figures]:
    """Return all usage aggregates of some days (strongly consistent reads). Items of removed groups are skipped."""
    items = (each for day in days for each in _read_items(table, day))
    return merge(read_item(key, item) for key, item in items if key.sort.partition("#")[0] in GROUPS)


def _read_items(table: TenantTable, day: date) -> Iterator[tuple[Key, dict[str, Any]]]:
    partition = usage_keys.usage_day(day.isoformat())
    return ((Key(partition, item["sk"]), item) for item in table.query_all(Query(partition, limit=_PAGE)))


def count_uncounted(table: TenantTable, months: Iterable[str], token: str) -> tuple[int, int]:
    """Count the unmarked entries of some months. Return the number of counted entries and the number of failures."""
    ledger = LedgerStore(table)
    counter = UsageCounter(lambda _: table)
    done = failed = 0
    unmarked = (entry for month in months for entry, _ in ledger.read_month(month, uncounted=True))
    for some in batched(unmarked, _BATCH, strict=False):
        failures = counter.count([Arrival(entry, f"rebuild:{token}:{entry.run_id}") for entry in some])
        done, failed = done + len(some) - len(failures), failed + len(failures)
    return done, failed


def _total(day: date) -> Key:
    return sum_key(SumKey(day, "TOTAL"))
