"""Rebuilds, their reports, and the results of comparisons."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from atrium.quotas.model import LimitName

type RebuildStatus = Literal["queued", "running", "succeeded"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A counter that differs from the ledger. If `is_explained`, the cause is admissions that were not counted."""

    limit: LimitName
    subject: str
    stored: int
    expected: int
    is_explained: bool = False


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """The results of a rebuild. Of the entries that the stream missed, `counted` were added and `uncounted` failed."""

    entries: int
    counters: tuple[Difference, ...]
    sums: int
    counted: int
    uncounted: int


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A rebuild of one month. `worker` is the token of its worker. A worker that takes over sets a new token."""

    id: str
    month: date
    status: RebuildStatus
    requested_at: datetime
    requested_by: str
    updated_at: datetime
    worker: str = ""
    report: RebuildReport | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """The result of a comparison of the current month. `counters` is empty if there is no difference."""

    checked_at: datetime
    entries: int
    counters: tuple[Difference, ...]
    sums: int
    uncounted: int

    @property
    def faults(self) -> int:
        """Return the number of wrong counters and usage aggregates."""
        return sum(not each.is_explained for each in self.counters) + self.sums
