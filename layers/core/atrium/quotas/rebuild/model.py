"""Rebuilds, their reports, and the results of comparisons."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from atrium.quotas.model import LimitName

type RebuildStatus = Literal["queued", "running", "succeeded"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A counter that differs from the ledger. `subject` is the scope's id, empty for the tenant.

    `is_explained`: the difference is within what was admitted without being counted, so it is no fault.
    """

    limit: LimitName
    subject: str
    stored: int
    expected: int
    is_explained: bool = False


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild read and changed. `counted`: missed by the stream, added now; `uncounted`: still missing."""

    entries: int
    counters: tuple[Difference, ...]
    sums: int
    counted: int
    uncounted: int


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A rebuild of one month. `worker` is the token of the worker that runs it; each take-over sets a new one."""

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
    """Result of a comparison of the current month; `counters` is empty if there is no difference."""

    checked_at: datetime
    entries: int
    counters: tuple[Difference, ...]
    sums: int
    uncounted: int

    @property
    def faults(self) -> int:
        """How many counters and sums are wrong."""
        return sum(not each.is_explained for each in self.counters) + self.sums
