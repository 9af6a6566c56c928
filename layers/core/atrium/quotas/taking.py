"""What is known before an entry is written, and what it says once it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from atrium.kernel.ids import TenantId
from atrium.quotas.charges import Entry
from atrium.quotas.model import Reading, Recorded, Refused
from atrium.quotas.plan import Planned
from atrium.quotas.writing import SweepMark
from atrium.storage import keys


@dataclass(frozen=True, slots=True)
class Unread:
    """The item was not read: try the write that is right under load first."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An entry was written (or was there already, `repeated`): what the slot says, and the limits after it."""

    second: int
    tokens: int
    cost_nanos: int
    marks: str
    lease_until: int
    readings: tuple[Reading, ...]
    repeated: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """What is counted without a slot: which entry, and in which second of which shard."""

    recorded: Recorded
    entry: Entry
    shard: int = 0
    second: int = 0


UNREAD = Unread()

type Read = Mapping[str, Any] | Unread | None
type Lower = Callable[[Refused], Entry | None]


def keep(_: Refused) -> None:
    """Let a refusal stand."""


def taken_of(plan: Planned, entry: Entry, readings: tuple[Reading, ...]) -> Taken:
    lease = entry.lease
    if lease is None:
        return Taken(plan.second, 0, 0, "", 0, readings, False)
    return Taken(plan.second, lease.tokens, lease.cost_nanos, lease.marks, plan.lease_until, readings, False)


def sweep_mark(tenant_id: TenantId, place: str) -> SweepMark:
    """Return where the sweeper finds an item that has slots: a shard's number, or the subject that is counted apart."""
    name = keys.admission_sweep_sort(tenant_id, place)
    return SweepMark(keys.sweep_partition(keys.sweep_shard(name)), name)
