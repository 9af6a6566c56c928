"""Sessions that begin without a turn: counted in the transaction that records them, so neither is without the other.

Each leaves a mark of the day, by which a rebuild counts it again, also when the session was deleted. Where nothing
limits sessions the record alone is written. A turn that begins a session counts it with its own admission.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any

from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.kernel.ids import SessionId
from atrium.quotas.charges import Entry, entry_of_amounts, marks_for
from atrium.quotas.failures import failure_of
from atrium.quotas.merging import merge, sum_readings
from atrium.quotas.meters import moment
from atrium.quotas.model import LimitName, Reading, Recorded, Refused, Subject
from atrium.quotas.moving import under_current_terms
from atrium.quotas.parts import amounts_entry
from atrium.quotas.plan import Misplaced, Planned, Tidying, plan_admission, read_all
from atrium.quotas.service import Items
from atrium.quotas.shards import order_of
from atrium.quotas.state import State
from atrium.quotas.store import ATTEMPTS_MAX, AdmissionStore
from atrium.quotas.terms import Terms, TermsOutdated
from atrium.storage import usage_keys
from atrium.storage.failures import Contended, TransactionRefused
from atrium.storage.queries import Query
from atrium.storage.table import TenantTable
from atrium.storage.writes import ANY, Operation, Put
from atrium.usage.model import Charged

_AMOUNTS: dict[LimitName, int] = {"sessions_per_day": 1}
_RECORD = 1  # its place in the transaction
_MARK_SECONDS = 3 * 86_400
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class SessionDoor:
    """The door for one new session. `read` has the items of all shards as somebody read them a moment ago."""

    store: AdmissionStore
    terms: Terms
    subjects: tuple[Subject, ...] = ()
    read: Items = ()

    def begin(self, session_id: SessionId, record: Put) -> Recorded:
        """Write a session's record and count it, or raise `LimitReached`: then nothing is written.

        Exact, also where a reply is lost: `record` must be on the condition that it is new. `Unavailable` where the
        table does not answer: sessions of a day are closed then.
        """
        ask = partial(self._begin, session_id, record)
        answer = under_current_terms(self.store.table, self.terms, ask)
        if isinstance(answer, Refused):
            raise failure_of(answer, self.store.clock())
        return answer

    def _begin(self, session_id: SessionId, record: Put, terms: Terms) -> Recorded | Refused:
        refusals: list[Refused] = []
        whole = entry_of_amounts(_AMOUNTS, terms.limits, self.subjects)
        read = self.read if terms is self.terms and len(self.read) == terms.shards else None
        for shard in order_of(session_id, terms.shards):
            entry = amounts_entry(_AMOUNTS, self.subjects, terms, shard)
            if not entry.charges:
                with suppress(ConditionFailed):  # this very write, whose reply was lost
                    self.store.table.write(record)
                return Recorded()
            state = self._state(read[shard] if read else self.store.read(shard))
            answer = self._take(shard, entry, state, session_id, record)
            if not isinstance(answer, Refused):
                if terms.shards > 1:
                    others = [self._state(item) for each, item in enumerate(read or ()) if each != shard]
                    answer = sum_readings(answer, others, whole) if read else ()
                return Recorded(answer)
            refusals.append(answer)
        return merge(refusals, whole, self.store.clock().timestamp())

    def _take(
        self, shard: int, entry: Entry, state: State, session_id: SessionId, record: Put
    ) -> tuple[Reading, ...] | Refused:
        key = self.store.key_of(shard)
        for _ in range(ATTEMPTS_MAX):
            plan = plan_admission(key, entry, state)
            match plan:
                case Refused():
                    return plan
                case Misplaced():
                    raise TermsOutdated
                case Tidying():
                    writes: list[Operation] = [plan.update]
                case Planned():
                    mark = _mark(session_id, Charged(shard, plan.second, marks_for(entry.charges)))
                    writes = [plan.update, record, mark]
                case _:
                    raise TypeError("a session has no slot")
            try:
                self.store.table.transact(writes)
            except TransactionRefused as refused:
                if _RECORD in refused.failed:
                    return read_all(entry, state)  # this very transaction, whose reply was lost
            except Contended:
                pass
            else:
                if isinstance(plan, Planned):
                    return tuple(replace(each, used=each.used + 1) for each in read_all(entry, state))
            state = self._state(self.store.read(shard))
        raise Unavailable(internal="a session's count stayed contended", retry_after_seconds=1)

    def _state(self, item: Mapping[str, Any] | None) -> State:
        return State(item, self.store.clock().timestamp())


def read_begun(table: TenantTable, day: date) -> Iterator[Charged]:
    """Yield where each session was counted that began without a turn on a UTC day; strongly consistent."""
    query = Query(usage_keys.begun_day(day.isoformat()), limit=_PAGE)
    while True:
        page = table.query(query)
        for item in page.items:
            yield Charged(item["s"], item["b"], item["m"])
        if page.position is None:
            return
        query = replace(query, position=page.position)


def _mark(session_id: SessionId, charged: Charged) -> Put:
    day = moment(charged.second).date().isoformat()
    item = {"s": charged.shard, "b": charged.second, "m": charged.marks, "ttl": charged.second + _MARK_SECONDS}
    return Put(usage_keys.begun(day, session_id), item, ANY)
