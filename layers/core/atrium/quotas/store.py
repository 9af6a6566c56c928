"""Admission's I/O: the planned write goes first, and where it does not apply, the item that stood there says what next.

A reply that was lost and repeated by the SDK meets its own slot. One write on the common path; another only when the
second, or a limit's state, has moved since the item was read.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.quotas.ceiling import Full, Lender
from atrium.quotas.charges import Entry, slot_name
from atrium.quotas.expression import Expression
from atrium.quotas.extending import Continued, Next, plan_extension
from atrium.quotas.model import (
    AdmissionRequest,
    Extended,
    Extension,
    Heartbeat,
    Hold,
    LeaseLost,
    NotHeld,
    Refused,
    Renewed,
    Settled,
    Settlement,
    Used,
)
from atrium.quotas.plan import (
    Misplaced,
    Plan,
    Planned,
    Present,
    Tidying,
    Unleased,
    plan_admission,
    plan_blind,
    read_all,
)
from atrium.quotas.refusal import refuse_platform
from atrium.quotas.settling import find_hold, plan_renewal, plan_return, plan_settlement
from atrium.quotas.state import State
from atrium.quotas.taking import UNREAD, Lower, Read, Taken, Unread, keep, sweep_mark, taken_of
from atrium.quotas.terms import TermsOutdated
from atrium.storage import keys, usage_keys
from atrium.storage.failures import Contended, TransactionRefused
from atrium.storage.keys import Key
from atrium.storage.table import TenantTable
from atrium.storage.writes import Update

ATTEMPTS_MAX = 25
_RENEWALS_MAX = 3


@dataclass(frozen=True, slots=True)
class AdmissionStore:
    """One tenant's admission items, or the one of the subject at `place`."""

    table: TenantTable
    clock: Clock
    lender: Lender | None = None
    place: str = ""

    def at(self, place: str) -> "AdmissionStore":
        """Return the store of a subject that is counted apart. The platform's ceiling is for its tenant to ask."""
        return AdmissionStore(self.table, self.clock, place=place)

    def key_of(self, shard: int) -> Key:
        return usage_keys.admission_apart(self.place) if self.place else keys.admission(shard)

    def read(self, shard: int) -> Mapping[str, Any] | None:
        """Read a shard's item, strongly consistent."""
        return self.table.get(self.key_of(shard))

    def take(self, shard: int, entry: Entry, read: Read = UNREAD, lower: Lower = keep) -> Taken | Refused:
        """Charge an entry to a shard, all or nothing. `read` is the item as somebody read it a moment ago.

        What is refused is asked for once more as `lower` makes it of the refusal, until that is None.
        `Unavailable` where it stayed contended, or the table is slow or gone; then it may have been charged, and
        asking again for the same run tells. `TermsOutdated` where the item was dealt out anew.
        """
        entry = replace(entry, in_block=self.lender is not None and entry.lease is not None)
        key, state = self.key_of(shard), State(None, self._now())
        mark = sweep_mark(self.table.tenant_id, self.place or str(shard))
        plan: Plan
        if isinstance(read, Unread):
            plan = plan_blind(key, entry, state.now, mark)
        else:
            state = State(read, state.now)
            plan = plan_admission(key, entry, state, mark)
        for _ in range(ATTEMPTS_MAX):
            match plan:
                case Refused():
                    lowered = lower(plan)
                    if lowered is None:
                        return plan
                    entry = replace(lowered, in_block=entry.in_block)
                case Misplaced():
                    raise TermsOutdated
                case Unleased(until):
                    leased = self._lease(key, state, until, more=1)
                    if isinstance(leased, Full):
                        return refuse_platform(leased.used, leased.maximum, self._now(), read_all(entry, state))
                    state = leased
                case Present(second, tokens, cost_nanos, marks, lease_until):
                    readings = read_all(entry, state)
                    return Taken(second, tokens, cost_nanos, marks, lease_until, readings, True)
                case Planned() | Tidying():
                    state, applied = self._apply(plan.update)
                    if applied and isinstance(plan, Planned):
                        return taken_of(plan, entry, read_all(entry, state))
            plan = plan_admission(key, entry, state, mark)
        raise Unavailable(internal="an admission stayed contended", retry_after_seconds=1)

    def extend(
        self, hold: Hold, used: Used, request: AdmissionRequest, entry_of: Callable[[AdmissionRequest], Entry]
    ) -> Extension:
        """Settle a run's last model call and hold its next one, all or nothing; safe to repeat for the same `hold`.

        What is refused is asked for once more lowered. `Unavailable` and `TermsOutdated` as in `take`.
        """
        key, entry = self.key_of(hold.shard), entry_of(request)
        state = State(self.read(hold.shard), self._now())
        for _ in range(ATTEMPTS_MAX):
            plan = plan_extension(key, hold, Next(request.tokens_hold, request.cost_hold_nanos, used), entry, state)
            match plan:
                case LeaseLost():
                    return plan
                case Misplaced():
                    raise TermsOutdated
                case Hold():
                    return Extended(plan, read_all(entry, state))
                case Refused():
                    lowered = request.lowered(plan.readings)
                    if lowered is None:
                        return plan
                    request, entry = lowered, entry_of(lowered)
                case Tidying(update):
                    state, _ = self._apply(update)
                case Continued(update, extended):
                    state, applied = self._apply(update)
                    if applied:
                        return Extended(extended, read_all(entry, state))
        raise Unavailable(internal="an extension stayed contended", retry_after_seconds=1)

    def _apply(self, update: Update) -> tuple[State, bool]:
        """Write, and return the item as it is now, or as it stood in the way."""
        try:
            return State(self.table.write(update), self._now()), True
        except ConditionFailed as refused:
            return State(refused.item, self._now()), False
        except Contended:
            return State(self.table.get(update.key), self._now()), False

    def settle(self, hold: Hold, tokens: int, cost_nanos: int, *, undone: bool = False) -> Settlement:
        """Free a run's slot and correct its counters to what it really used in all, once.

        A repetition, an unknown run and another tenant's are `NotHeld`, and so is one whose first reply was lost.
        """
        key = self.key_of(hold.shard)
        update = plan_settlement(key, hold, tokens, cost_nanos, None, undone=undone)
        for _ in range(ATTEMPTS_MAX):
            state, applied = self._apply(update)
            if applied:
                if self.lender is not None:
                    self.lender.give_back(self.table, key, state)
                return Settled()
            held = find_hold(hold, state)
            if held is None:
                return NotHeld()
            update = plan_settlement(key, held, tokens, cost_nanos, state, undone=undone)
        raise Unavailable(internal="a settlement stayed contended", retry_after_seconds=1)

    def give_back(self, shard: int, entry: Entry, second: int) -> None:
        """Take back what `take` counted without a slot; where somebody is faster it stays counted, never too little."""
        update = plan_return(self.key_of(shard), entry, second, State(self.read(shard), self._now()))
        if update is not None:
            with suppress(ConditionFailed, Contended):
                self.table.write(update)

    def renew(self, hold: Hold) -> Heartbeat:
        """Renew a run's lease, or learn that its slot is gone. Safe to repeat."""
        key = self.key_of(hold.shard)
        for _ in range(_RENEWALS_MAX):
            update, until = plan_renewal(key, hold, self._now(), in_block=self.lender is not None)
            try:
                self.table.write(update)
            except ConditionFailed as refused:
                state = State(refused.item, self._now())
                if slot_name(hold.run_id) not in state.slots:
                    break
                if isinstance(self._lease(key, state, until, more=0), Full):
                    break
            else:
                return Renewed(until)
        return LeaseLost()

    def _lease(self, key: Key, state: State, until: int, *, more: int) -> Full | State:
        return state if self.lender is None else self.lender.lease(self.table, key, state, until, more=more)

    def move(self, updates: Sequence[Update]) -> None:
        """Move counters between shards, all or nothing; nothing where somebody was faster."""
        with suppress(TransactionRefused):
            self.table.transact(updates)

    def unmark(self, shard: int) -> bool:
        """Take the sweeper's mark from an item that has no slots; False if it has some again."""
        expression = Expression()
        for attribute in ("sweep_pk", "sweep_sk"):
            expression.remove(attribute)
        for mapping in ("slots", "late"):
            expression.require_fewer(mapping, 1)
        try:
            self.table.write(expression.update(self.key_of(shard)))
        except ConditionFailed:
            return False
        return True

    def _now(self) -> float:
        return self.clock().timestamp()
