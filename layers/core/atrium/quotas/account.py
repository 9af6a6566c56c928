"""Admission under the limits of one: a tenant's, or a subject's own. Over its shards, and when the table is gone.

What holds when the table does not answer: money, tokens of the month, days and slots are closed (`Unavailable`);
where only minutes are limited, `minutes_open` decides, and the answer says that it was degraded.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import RunId
from atrium.quotas.charges import entry_of, entry_of_amounts, is_limited
from atrium.quotas.evening import even_out
from atrium.quotas.listing import read_shards
from atrium.quotas.lowering import extend_unrecorded, lowered_entries, unrecorded
from atrium.quotas.merging import merge, sum_readings
from atrium.quotas.model import (
    LEASE_SECONDS,
    AdmissionRequest,
    Admitted,
    Decision,
    Extended,
    Extension,
    Heartbeat,
    Hold,
    LeaseLost,
    LimitName,
    NotHeld,
    Recorded,
    Refused,
    Renewed,
    Settlement,
    Subject,
    Used,
)
from atrium.quotas.moving import find_moved, under_current_terms
from atrium.quotas.parts import amounts_entry, next_call_entry, turn_entry
from atrium.quotas.settling import find_hold
from atrium.quotas.shards import leased_first, order_of
from atrium.quotas.state import State
from atrium.quotas.store import AdmissionStore
from atrium.quotas.taking import UNREAD, Counted, Taken, keep
from atrium.quotas.terms import Terms

RETRY_AFTER_SECONDS = 2
NO_SHARD = -1  # of a run that nothing limits: no item knows it
_EVENINGS_MAX = 3

type Items = Sequence[Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Account:
    """One tenant's items, or one subject's. `on_failure` hears of what could not be undone."""

    store: AdmissionStore
    minutes_open: bool = False
    on_failure: Callable[[Unavailable], None] = lambda _: None

    def admit(self, request: AdmissionRequest, terms: Terms, read: Items = ()) -> Decision:
        """Admit a run or say what bound; nothing is charged on refusal.

        Safe to repeat for the same run while its first shard has room; where there are more, ask `find` first.
        `read` has the items of all shards as somebody read them a moment ago: they save a write, and their figures are
        in the answer's. `Unavailable` where the table does not answer and a limit is closed then.
        """
        if self.store.lender is None and not is_limited(terms.limits, request.subjects):
            return Admitted(unrecorded(request, NO_SHARD))
        try:
            return under_current_terms(self.store.table, terms, partial(self._admit, request, terms, read))
        except Unavailable as failure:
            if not self.minutes_open or not terms.only_minutes(request.subjects):
                self._undo(request, terms)
                raise Unavailable(internal=failure.internal, retry_after_seconds=RETRY_AFTER_SECONDS) from failure
            return Admitted(unrecorded(request, order_of(request.run_id, terms.shards)[0]), degraded=True)

    def extend(self, hold: Hold, used: Used, request: AdmissionRequest, terms: Terms) -> Extension:
        """Settle what a run used in all so far and hold its next model call, as `request` says; all or nothing.

        Safe to repeat for the same `hold`. Only limits of tokens and money are asked; a refusal leaves the last hold.
        """
        if not hold.recorded:
            return Extended(extend_unrecorded(hold, used, request))
        return under_current_terms(self.store.table, terms, partial(self._extend_anywhere, hold, used, request))

    def _extend_anywhere(self, hold: Hold, used: Used, request: AdmissionRequest, terms: Terms) -> Extension:
        answer = self._extend(hold, used, request, terms)
        if isinstance(answer, LeaseLost) and (moved := self._find_moved(hold)) is not None:
            answer = self._extend(hold := replace(hold, shard=moved.shard), used, request, terms)
        for _ in range(_EVENINGS_MAX):
            if not isinstance(answer, Refused) or terms.shards == 1:
                break
            missing = replace(
                request,
                tokens_hold=max(0, request.tokens_hold + used.tokens - hold.tokens_in_all),
                cost_hold_nanos=max(0, request.cost_hold_nanos + used.cost_nanos - hold.cost_in_all_nanos),
            )
            entry_of_shard = partial(next_call_entry, missing, terms)
            if not even_out(self.store, [hold.shard], terms.shards, entry_of_shard):
                break
            answer = self._extend(hold, used, request, terms)
        return answer

    def _extend(self, hold: Hold, used: Used, request: AdmissionRequest, terms: Terms) -> Extension:
        return self.store.extend(hold, used, request, partial(next_call_entry, terms=terms, shard=hold.shard))

    def count(
        self, amounts: Mapping[LimitName, int], terms: Terms, subjects: Sequence[Subject] = ()
    ) -> Counted | Refused:
        """Count what is not a turn, such as a tool call, against every limit that it has, all or nothing.

        A reply that was lost and repeated may count twice, never too little. Closed when the table does not answer,
        but where minutes are open.
        """
        return under_current_terms(self.store.table, terms, partial(self._count, amounts, subjects))

    def uncount(self, counted: Counted) -> None:
        """Take back what was counted a moment ago, because others refuse it."""
        if counted.entry.charges and not counted.recorded.degraded:
            self.store.give_back(counted.shard, counted.entry, counted.second)

    def _count(self, amounts: Mapping[LimitName, int], subjects: Sequence[Subject], terms: Terms) -> Counted | Refused:
        refusals: list[Refused] = []
        for shard in order_of(secrets.token_hex(4), terms.shards):
            entry = amounts_entry(amounts, subjects, terms, shard)
            if not entry.charges:
                return Counted(Recorded(), entry)
            try:
                answer = self.store.take(shard, entry)
            except Unavailable:
                if not self.minutes_open or any(charge.meter.span != "minute" for charge in entry.charges):
                    raise
                return Counted(Recorded(degraded=True), entry)
            if not isinstance(answer, Refused):
                return Counted(Recorded(answer.readings), entry, shard, answer.second)
            refusals.append(answer)
        return merge(refusals, entry_of_amounts(amounts, terms.limits, subjects), self.store.clock().timestamp())

    def settle(self, hold: Hold, tokens: int, cost_nanos: int) -> Settlement:
        """Free the slot and correct the counters to what was used in all, once; call it on every way out."""
        return self._settle(hold, tokens, cost_nanos, undone=False)

    def release(self, hold: Hold) -> Settlement:
        """Undo an admission whose run never began: nothing is counted, its request and session neither."""
        return self._settle(hold, 0, 0, undone=True)

    def _settle(self, hold: Hold, tokens: int, cost_nanos: int, *, undone: bool) -> Settlement:
        if hold.shard == NO_SHARD:
            return NotHeld()
        try:
            answer = self.store.settle(hold, tokens, cost_nanos, undone=undone)
        except Unavailable:
            if hold.recorded:
                raise
            return NotHeld()  # it was let in uncounted; a slot that it has after all is the sweeper's
        if isinstance(answer, NotHeld) and (moved := self._find_moved(hold)) is not None:
            return self.store.settle(moved, tokens, cost_nanos, undone=undone)
        return answer

    def locate(self, hold: Hold) -> Hold | None:
        """Return a run's hold as its slot says now; None if nothing is held (any more)."""
        if hold.shard == NO_SHARD:
            return None
        return find_hold(hold, self._state(self.store.read(hold.shard))) or self._find_moved(hold)

    def heartbeat(self, hold: Hold) -> Heartbeat:
        """Renew the lease; a run that nothing recorded has none to lose."""
        if hold.recorded:
            answer = self.store.renew(hold)
            if isinstance(answer, LeaseLost) and (moved := self._find_moved(hold)) is not None:
                return self.store.renew(moved)
            return answer
        return Renewed(int(self.store.clock().timestamp()) + LEASE_SECONDS)

    def find(self, run_id: RunId, terms: Terms) -> Hold | None:
        """Return what is held for a run whose hold was not kept, as for one whose worker died."""
        for shard in order_of(run_id, terms.shards):
            hold = find_hold(Hold(run_id, shard, 0, 0, 0), self._state(self.store.read(shard)))
            if hold is not None:
                return hold
        return None

    def _admit(self, request: AdmissionRequest, known: Terms, read: Items, terms: Terms) -> Decision:
        read = read if terms is known else ()
        if terms.shards > 1 and len(read) != terms.shards and is_limited(terms.limits, request.subjects):
            read = self._read_all(terms)
        answer = self._ask(request, terms, read, lowering=terms.shards == 1)
        if isinstance(answer, Refused) and terms.shards > 1:
            lowered = request.lowered(answer.readings)
            if lowered is not None:
                answer = self._ask(lowered, terms, (), lowering=False)
            if lowered is not None and isinstance(answer, Refused):
                answer = self._ask(lowered, terms, (), lowering=True)
        return answer

    def _ask(self, request: AdmissionRequest, terms: Terms, read: Items, *, lowering: bool) -> Decision:
        """Ask every shard, and again where counters could be moved; perhaps for less than was asked for."""
        refusals: list[Refused] = []
        order = leased_first(order_of(request.run_id, terms.shards), read, self.store.clock().timestamp())
        for asked in range(_EVENINGS_MAX):
            refusals = []
            for shard in order:
                entry_of_shard = partial(turn_entry, terms=terms, shard=shard)
                lower = lowered_entries(request, entry_of_shard) if lowering else keep
                known = read[shard] if len(read) == terms.shards and not asked else UNREAD
                answer = self.store.take(shard, entry_of_shard(request), known, lower)
                if not isinstance(answer, Refused):
                    return self._admitted(request, terms, shard, answer, read)
                refusals.append(answer)
            if terms.shards == 1 or not even_out(self.store, order, terms.shards, partial(turn_entry, request, terms)):
                break
        return merge(refusals, entry_of(request, terms.effective), self.store.clock().timestamp())

    def _admitted(self, request: AdmissionRequest, terms: Terms, shard: int, taken: Taken, read: Items) -> Admitted:
        """Return the answer, its figures those of the tenant as a whole where the other shards were read."""
        hold = Hold(request.run_id, shard, taken.second, taken.tokens, taken.cost_nanos, taken.marks, taken.lease_until)
        readings = taken.readings
        if terms.shards > 1:
            whole = entry_of(request, terms.effective)
            others = [self._state(item) for each, item in enumerate(read) if each != shard]
            readings = sum_readings(readings, others, whole) if len(read) == terms.shards else ()
        told = tuple(each for each in readings if each.scope != "tenant" or terms.bounds(each.limit))
        return Admitted(hold, told, taken.repeated)

    def _read_all(self, terms: Terms) -> Items:
        """Read all items where nobody has: the first write is the right one then, and figures are of the whole."""
        with suppress(Unavailable):
            found = read_shards(self.store.table)
            return tuple(found.get(shard) for shard in range(terms.shards))
        return ()

    def _undo(self, request: AdmissionRequest, terms: Terms) -> None:
        """Give back what a write whose reply never came may have taken; what stays is charged, never oversold."""
        try:
            hold = self.find(request.run_id, terms)
            if hold is not None:
                self.release(hold)
        except Unavailable as failure:
            self.on_failure(failure)

    def _find_moved(self, hold: Hold) -> Hold | None:
        moves = not self.store.place
        return find_moved(self.store.table, hold, self.store.clock().timestamp()) if moves else None

    def _state(self, item: Mapping[str, Any] | None) -> State:
        return State(item, self.store.clock().timestamp())
