"""What admission would answer at this moment, without a write: the service itself, over items as they were read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from atrium.quotas.charges import Entry
from atrium.quotas.listing import read_shards
from atrium.quotas.model import Refused
from atrium.quotas.plan import Misplaced, Plan, Present, Unleased, plan_admission, read_all
from atrium.quotas.refusal import refuse_platform
from atrium.quotas.state import State
from atrium.quotas.store import AdmissionStore
from atrium.quotas.taking import UNREAD, Lower, Read, Taken, keep
from atrium.quotas.terms import TermsOutdated
from atrium.storage.writes import Update


@dataclass(frozen=True, slots=True)
class TrialStore(AdmissionStore):
    """Plans what is to be written and writes nothing. Counters that would be moved count as moved."""

    items: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    moved: list[Update] = field(default_factory=list)

    def at(self, place: str) -> "TrialStore":
        return trial_of(AdmissionStore(self.table, self.clock, place=place))

    def read(self, shard: int) -> Mapping[str, Any] | None:
        return self.items.get(shard)

    def take(self, shard: int, entry: Entry, read: Read = UNREAD, lower: Lower = keep) -> Taken | Refused:
        """Answer as the item that was read says, or as it would say after the counters were moved."""
        del read
        state = State(self.items.get(shard), self.clock().timestamp())
        plan = self._plan(shard, entry, state)
        while isinstance(plan, Refused):
            if self.moved:
                return _taken(entry, state)
            lowered = lower(plan)
            if lowered is None:
                return plan
            entry = lowered
            plan = self._plan(shard, entry, state)
        if isinstance(plan, Misplaced):
            raise TermsOutdated
        if isinstance(plan, Unleased) and self.lender is not None:
            full = self.lender.refusal(self.table, self.key_of(shard), state, plan.until)
            if full is not None:
                return refuse_platform(full.used, full.maximum, state.now, read_all(entry, state))
        return _taken(entry, state, is_present=isinstance(plan, Present))

    def move(self, updates: Sequence[Update]) -> None:
        self.moved.extend(updates)

    def _plan(self, shard: int, entry: Entry, state: State) -> Plan:
        in_block = self.lender is not None and entry.lease is not None
        return plan_admission(self.key_of(shard), replace(entry, in_block=in_block), state)


def trial_of(store: AdmissionStore) -> TrialStore:
    """Return a store for trials over the items as they are now: one query, or one read of a subject's."""
    trial = TrialStore(store.table, store.clock, store.lender, store.place)
    if store.place:
        item = store.table.get(store.key_of(0))
        trial.items.update({} if item is None else {0: item})
    else:
        trial.items.update(read_shards(store.table))
    return trial


def _taken(entry: Entry, state: State, *, is_present: bool = False) -> Taken:
    tokens, cost = (entry.lease.tokens, entry.lease.cost_nanos) if entry.lease else (0, 0)
    return Taken(state.at, tokens, cost, "", 0, read_all(entry, state), is_present)
