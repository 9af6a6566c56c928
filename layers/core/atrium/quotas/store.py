"""Admission's I/O: the planned write goes first, and where it does not apply, the item that stood there says what next.

A reply that was lost and repeated by the SDK meets its own slot. One write on the common path; another only when the
second, or a limit's state, has moved since the item was read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.quotas.charges import Entry
from atrium.quotas.model import Heartbeat, Hold, LeaseLost, NotHeld, Reading, Refused, Renewed, Settled, Settlement
from atrium.quotas.plan import Planned, Present, Tidying, plan_admission, plan_blind, read_all
from atrium.quotas.settling import find_hold, plan_renewal, plan_settlement
from atrium.quotas.state import State
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import TenantTable

ATTEMPTS_MAX = 25


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


UNREAD = Unread()

type Read = Mapping[str, Any] | Unread | None


@dataclass(frozen=True, slots=True)
class AdmissionStore:
    """One tenant's admission items."""

    table: TenantTable
    clock: Clock
    key_of: Callable[[int], Key] = keys.admission

    def read(self, shard: int) -> Mapping[str, Any] | None:
        """Read a shard's item, strongly consistent."""
        return self.table.get(self.key_of(shard))

    def take(self, shard: int, entry: Entry, read: Read = UNREAD) -> Taken | Refused:
        """Charge an entry to a shard, all or nothing. `read` is the item as somebody read it a moment ago.

        `Unavailable` where it stayed contended, or the table is slow or gone; then it may have been charged, and
        asking again for the same run tells.
        """
        key, now = self.key_of(shard), self._now()
        plan = plan_blind(key, entry, now) if isinstance(read, Unread) else plan_admission(key, entry, State(read, now))
        for _ in range(ATTEMPTS_MAX):
            match plan:
                case Refused():
                    return plan
                case Present(second, tokens, cost_nanos, marks, lease_until):
                    return Taken(second, tokens, cost_nanos, marks, lease_until, (), True)
                case Planned() | Tidying():
                    try:
                        written: Mapping[str, Any] | None = self.table.write(plan.update)
                    except ConditionFailed as refused:
                        written = refused.item
                    else:
                        if isinstance(plan, Planned):
                            return _taken(plan, entry, read_all(entry, State(written, self._now())))
                    plan = plan_admission(key, entry, State(written, self._now()))
        raise Unavailable(internal="an admission stayed contended", retry_after_seconds=1)

    def settle(self, hold: Hold, tokens: int, cost_nanos: int) -> Settlement:
        """Free a run's slot and correct its counters to what it really used, once.

        A repetition, an unknown run and another tenant's are `NotHeld`, and so is one whose first reply was lost.
        """
        key = self.key_of(hold.shard)
        update = plan_settlement(key, hold, tokens, cost_nanos, None)
        for _ in range(ATTEMPTS_MAX):
            try:
                self.table.write(update)
            except ConditionFailed as refused:
                state = State(refused.item, self._now())
                held = find_hold(hold, state)
                if held is None:
                    return NotHeld()
                update = plan_settlement(key, held, tokens, cost_nanos, state)
            else:
                return Settled()
        raise Unavailable(internal="a settlement stayed contended", retry_after_seconds=1)

    def renew(self, hold: Hold) -> Heartbeat:
        """Renew a run's lease, or learn that its slot is gone. Safe to repeat."""
        update, until = plan_renewal(self.key_of(hold.shard), hold, self._now())
        try:
            self.table.write(update)
        except ConditionFailed:
            return LeaseLost()
        return Renewed(until)

    def _now(self) -> float:
        return self.clock().timestamp()


def _taken(plan: Planned, entry: Entry, readings: tuple[Reading, ...]) -> Taken:
    lease = entry.lease
    if lease is None:
        return Taken(plan.second, 0, 0, "", 0, readings, False)
    return Taken(plan.second, lease.tokens, lease.cost_nanos, lease.marks, plan.lease_until, readings, False)
