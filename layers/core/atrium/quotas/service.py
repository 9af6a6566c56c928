"""Admission of a tenant's turns: over its shards, and when the table is slow or gone.

What holds when the table does not answer: money, tokens of the month, days and slots are closed (`Unavailable`);
where only minutes are limited, `minutes_open` decides, and the answer says that it was degraded.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import RunId
from atrium.quotas.charges import Entry, entry_of, entry_of_amounts, is_limited, slot_name
from atrium.quotas.merging import merge
from atrium.quotas.model import (
    LEASE_SECONDS,
    AdmissionRequest,
    Admitted,
    Decision,
    Heartbeat,
    Hold,
    LimitName,
    NotHeld,
    Recorded,
    Refused,
    Renewed,
    Settlement,
    Subject,
)
from atrium.quotas.settling import find_hold
from atrium.quotas.shards import Shard, order_of, plan_evening, share_limits, share_subject
from atrium.quotas.state import State
from atrium.quotas.store import UNREAD, AdmissionStore, Read
from atrium.quotas.terms import Terms
from atrium.storage.failures import TransactionRefused

RETRY_AFTER_SECONDS = 2
NO_SHARD = -1  # of a run that nothing limits: no item knows it
_EVENINGS_MAX = 3


@dataclass(frozen=True, slots=True)
class AdmissionService:
    """One tenant's. `on_failure` hears of what could not be undone."""

    store: AdmissionStore
    minutes_open: bool = False
    on_failure: Callable[[Unavailable], None] = lambda _: None

    def first_shard(self, run_id: RunId, terms: Terms) -> int:
        """Return the shard whose item is worth reading before `admit`."""
        return order_of(run_id, terms.shards)[0]

    def admit(self, request: AdmissionRequest, terms: Terms, read: Read = UNREAD) -> Decision:
        """Admit a run or say what bound; nothing is charged on refusal.

        Safe to repeat for the same run while its first shard has room; where there are more, ask `find` first.
        `read` is the first shard's item. `Unavailable` where the table does not answer and a limit is closed then.
        """
        if not is_limited(terms.limits, request.subjects):
            return Admitted(Hold(request.run_id, NO_SHARD, 0, 0, 0, recorded=False))
        try:
            return self._admit(request, terms, read)
        except Unavailable as failure:
            if not self.minutes_open or not terms.only_minutes(request.subjects):
                self._undo(request, terms)
                raise Unavailable(internal=failure.internal, retry_after_seconds=RETRY_AFTER_SECONDS) from failure
            hold = Hold(request.run_id, self.first_shard(request.run_id, terms), 0, 0, 0, recorded=False)
            return Admitted(hold, degraded=True)

    def record(
        self, amounts: Mapping[LimitName, int], terms: Terms, subjects: Sequence[Subject] = ()
    ) -> Recorded | Refused:
        """Count what is not a turn, such as a tool call, against every limit that it has, all or nothing.

        A reply that was lost and repeated may count twice, never too little. Closed when the table does not answer,
        but where minutes are open.
        """
        refusals: list[Refused] = []
        for shard in order_of(secrets.token_hex(4), terms.shards):
            shared = tuple(share_subject(each, shard, terms.shards) for each in subjects)
            entry = entry_of_amounts(amounts, share_limits(terms.limits, shard, terms.shards), shared)
            if not entry.charges:
                return Recorded()
            try:
                answer = self.store.take(shard, entry)
            except Unavailable:
                if self.minutes_open and all(charge.meter.span == "minute" for charge in entry.charges):
                    return Recorded(degraded=True)
                raise
            if not isinstance(answer, Refused):
                return Recorded(answer.readings)
            refusals.append(answer)
        whole = entry_of_amounts(amounts, terms.limits, subjects)
        return merge(refusals, whole, self.store.clock().timestamp())

    def settle(self, hold: Hold, tokens: int, cost_nanos: int) -> Settlement:
        """Free the slot and correct the counters to what was used, once; call it on every way out."""
        return NotHeld() if hold.shard == NO_SHARD else self.store.settle(hold, tokens, cost_nanos)

    def heartbeat(self, hold: Hold) -> Heartbeat:
        """Renew the lease; a run that nothing recorded has none to lose."""
        if hold.recorded:
            return self.store.renew(hold)
        return Renewed(int(self.store.clock().timestamp()) + LEASE_SECONDS)

    def find(self, run_id: RunId, terms: Terms) -> Hold | None:
        """Return what is held for a run whose hold was not kept, as for one whose worker died."""
        for shard in order_of(run_id, terms.shards):
            hold = find_hold(Hold(run_id, shard, 0, 0, 0), self._state(self.store.read(shard)))
            if hold is not None:
                return hold
        return None

    def _admit(self, request: AdmissionRequest, terms: Terms, read: Read) -> Decision:
        refusals: list[Refused] = []
        for _ in range(_EVENINGS_MAX):
            refusals = []
            for shard in order_of(request.run_id, terms.shards):
                answer = self.store.take(shard, self._entry(request, terms, shard), read)
                read = UNREAD
                if not isinstance(answer, Refused):
                    hold = Hold(
                        request.run_id, shard, answer.second, answer.tokens, answer.cost_nanos, answer.marks,
                        answer.lease_until,
                    )  # fmt: skip
                    return Admitted(hold, answer.readings, answer.repeated)
                refusals.append(answer)
            if terms.shards == 1 or not self._even(request, terms):
                break
        whole = entry_of(request, terms.effective)
        return merge(refusals, whole, self.store.clock().timestamp())

    def _entry(self, request: AdmissionRequest, terms: Terms, shard: int) -> Entry:
        subjects = tuple(share_subject(subject, shard, terms.shards) for subject in request.subjects)
        limits = share_limits(terms.effective, shard, terms.shards)
        return entry_of(replace(request, subjects=subjects), limits)

    def _even(self, request: AdmissionRequest, terms: Terms) -> bool:
        """Make room by moving counters between shards; True if it is worth asking again."""
        shards = [
            Shard(self.store.key_of(each), self._entry(request, terms, each), self._state(self.store.read(each)))
            for each in range(terms.shards)
        ]
        if any(slot_name(request.run_id) in shard.state.slots for shard in shards):
            return True
        updates = plan_evening(shards)
        if not updates:
            return False
        with suppress(TransactionRefused):  # somebody was faster: look again
            self.store.table.transact(updates)
        return True

    def _undo(self, request: AdmissionRequest, terms: Terms) -> None:
        """Give back what a write whose reply never came may have taken; what stays is charged, never oversold."""
        try:
            hold = self.find(request.run_id, terms)
            if hold is not None:
                self.store.settle(hold, 0, 0)
        except Unavailable as failure:
            self.on_failure(failure)

    def _state(self, item: Mapping[str, Any] | None) -> State:
        return State(item, self.store.clock().timestamp())
