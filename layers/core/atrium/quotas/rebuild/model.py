"""What a rebuild is asked for and has done, and what a comparison has found."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from atrium.quotas.model import LimitName

type RebuildStatus = Literal["queued", "running", "succeeded"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A counter that is not what the ledger says. `subject` is empty for the tenant's own, else the scope's id.

    `is_explained` where the counter may lack it without a fault: runs that were admitted without being counted.
    """

    limit: LimitName
    subject: str
    stored: int
    expected: int
    is_explained: bool = False


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild has read and changed. `counted` entries the stream had left; `uncounted` ones are left still."""

    entries: int
    counters: tuple[Difference, ...]
    sums: int
    counted: int
    uncounted: int


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A rebuild of one month. `worker` is the token of whoever runs it: who takes it over has another."""

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
    """What a comparison of the running month has found; nothing where all is as it should be."""

    checked_at: datetime
    entries: int
    counters: tuple[Difference, ...]
    sums: int
    uncounted: int

    @property
    def faults(self) -> int:
        """How many counters and sums are wrong."""
        return sum(not each.is_explained for each in self.counters) + self.sums
