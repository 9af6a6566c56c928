"""Sessions that begin without a turn: counted in the transaction that records them, so neither is without the other.

Each leaves a mark of the day, by which a rebuild counts it again, also when the session was deleted. Where nothing
limits sessions the record alone is written. A turn that begins a session counts it with its own admission.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any

from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.kernel.ids import SessionId
from atrium.quotas.account import Items
from atrium.quotas.charges import Entry, entry_of_amounts, marks_for
from atrium.quotas.failures import failure_of
from atrium.quotas.merging import merge, sum_readings
from atrium.quotas.meters import moment
from atrium.quotas.model import LimitName, Reading, Recorded, Refused, Scope, Subject
from atrium.quotas.moving import under_current_terms
from atrium.quotas.parties import rescope, rescope_all, subjects_apart, subjects_within
from atrium.quotas.parts import amounts_entry
from atrium.quotas.plan import Misplaced, Plan, Planned, Tidying, plan_admission, read_all
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
from atrium.usage.store import read_charged, write_charged

_AMOUNTS: dict[LimitName, int] = {"sessions_per_day": 1}
_RECORD = 0  # its place in the transaction
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
        within = subjects_within(self.subjects)
        apart = [
            _Place(self.store.at(each.id), 0, entry, each.scope)
            for each in subjects_apart(self.subjects)
            if (entry := entry_of_amounts(_AMOUNTS, each.limits)).charges
        ]
        read = self.read if terms is self.terms and len(self.read) == terms.shards else None
        for shard in order_of(session_id, terms.shards):
            entry = amounts_entry(_AMOUNTS, within, terms, shard)
            if not entry.charges and not apart:
                with suppress(ConditionFailed):  # this very write, whose reply was lost
                    self.store.table.write(record)
                return Recorded()
            here = [_Place(self.store, shard, entry)] if entry.charges else []
            states = [self._state(read[shard]) if read else each.look() for each in here]
            answer = self._take([*here, *apart], [*states, *(each.look() for each in apart)], session_id, record)
            match answer:
                case tuple():
                    return Recorded(self._whole(answer, within, shard, terms, read or ()))
                case _ApartRefused(refused):
                    return refused
            refusals.append(answer)
        return merge(refusals, entry_of_amounts(_AMOUNTS, terms.limits, within), self.store.clock().timestamp())

    def _whole(
        self, readings: tuple[Reading, ...], within: Sequence[Subject], shard: int, terms: Terms, read: Items
    ) -> tuple[Reading, ...]:
        """Return figures of the tenant as a whole, where they are of one shard; none where the others are not known."""
        if terms.shards == 1:
            return readings
        if not read:
            return ()
        others = [self._state(item) for each, item in enumerate(read) if each != shard]
        return sum_readings(readings, others, entry_of_amounts(_AMOUNTS, terms.limits, within))

    def _take(
        self, places: Sequence["_Place"], states: Sequence[State], session_id: SessionId, record: Put
    ) -> "tuple[Reading, ...] | Refused | _ApartRefused":
        """Count a session in all places and write its record, all or nothing."""
        for _ in range(ATTEMPTS_MAX):
            plans = [each.plan(state) for each, state in zip(places, states, strict=True)]
            for place, plan in zip(places, plans, strict=True):
                match plan:
                    case Refused() if place.store.place:
                        return _ApartRefused(rescope(plan, place.scope))
                    case Refused():
                        return plan
                    case Misplaced():
                        raise TermsOutdated
            planned = [plan for plan in plans if isinstance(plan, Planned)]
            tidying: list[Operation] = [plan.update for plan in plans if isinstance(plan, Tidying)]
            mark = _mark(session_id, [each.charged(plan) for each, plan in zip(places, planned, strict=False)])
            try:
                self.store.table.transact(tidying or [record, mark, *(plan.update for plan in planned)])
            except TransactionRefused as refused:
                if not tidying and _RECORD in refused.failed:  # this very transaction, whose reply was lost
                    return tuple(reading for at, each in enumerate(places) for reading in each.readings(states[at]))
            except Contended:
                pass
            else:
                if not tidying:
                    return tuple(
                        replace(reading, used=reading.used + 1)
                        for at, each in enumerate(places)
                        for reading in each.readings(states[at])
                    )
            states = [each.look() for each in places]
        raise Unavailable(internal="a session's count stayed contended", retry_after_seconds=1)

    def _state(self, item: Mapping[str, Any] | None) -> State:
        return State(item, self.store.clock().timestamp())


@dataclass(frozen=True, slots=True)
class _ApartRefused:
    """The refusal of a subject that is counted apart: no shard of the tenant can help."""

    refused: Refused


@dataclass(frozen=True, slots=True)
class _Place:
    """An item in which a session is counted, and what it is charged there."""

    store: AdmissionStore
    shard: int
    entry: Entry
    scope: Scope = "tenant"

    def look(self) -> State:
        return State(self.store.read(self.shard), self.store.clock().timestamp())

    def plan(self, state: State) -> Plan:
        return plan_admission(self.store.key_of(self.shard), self.entry, state)

    def readings(self, state: State) -> tuple[Reading, ...]:
        return rescope_all(read_all(self.entry, state), self.scope)

    def charged(self, plan: Planned) -> tuple[str, Charged]:
        return self.store.place, Charged(self.shard, plan.second, marks_for(self.entry.charges))


def read_begun(table: TenantTable, day: date) -> Iterator[Mapping[str, Charged]]:
    """Yield where each session was counted that began without a turn on a UTC day; strongly consistent.

    The tenant's item goes under the empty text, those of subjects that are counted apart under their ids.
    """
    query = Query(usage_keys.begun_day(day.isoformat()), limit=_PAGE)
    while True:
        page = table.query(query)
        for item in page.items:
            yield {found["p"]: read_charged(found) for found in item["c"]}
        if page.position is None:
            return
        query = replace(query, position=page.position)


def _mark(session_id: SessionId, charged: Sequence[tuple[str, Charged]]) -> Put:
    second = charged[0][1].second if charged else 0
    day = moment(second).date().isoformat()
    counted = [{**write_charged(each), "p": place} for place, each in charged]
    item = {"c": counted, "ttl": second + _MARK_SECONDS}
    return Put(usage_keys.begun(day, session_id), item, ANY)
