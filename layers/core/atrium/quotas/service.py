"""Admission of a tenant's turns: under the tenant's limits, and those of the subjects that are counted apart.

A subject that is counted apart is asked before its tenant, by a write of its own, and takes back what it gave where
somebody after it refuses. So nothing is ever above a limit; in between one may seem full that is not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import RunId
from atrium.quotas.account import Account, Items
from atrium.quotas.model import (
    LEASE_SECONDS,
    AdmissionRequest,
    Admitted,
    Decision,
    Extended,
    Extension,
    Heartbeat,
    Hold,
    LimitName,
    Recorded,
    Refused,
    Renewed,
    Settlement,
    Subject,
    Used,
)
from atrium.quotas.parties import (
    Party,
    join,
    refusal_of_all,
    rescope,
    rescope_all,
    subjects_apart,
    subjects_within,
)
from atrium.quotas.store import AdmissionStore
from atrium.quotas.taking import Counted
from atrium.quotas.terms import Terms, terms_apart


@dataclass(frozen=True, slots=True)
class AdmissionService:
    """One tenant's. `on_failure` hears of what could not be undone."""

    store: AdmissionStore
    minutes_open: bool = False
    on_failure: Callable[[Unavailable], None] = lambda _: None

    def admit(self, request: AdmissionRequest, terms: Terms, read: Items = ()) -> Decision:
        """Admit a run or say what bound; nothing is charged on refusal.

        Safe to repeat for the same run while its first shard has room; where there are more, ask `find` first.
        `read` has the items of all the tenant's shards as somebody read them a moment ago: they save a write, and their
        figures are in the answer's. `Unavailable` where the table does not answer and a limit is closed then.
        """
        parties = self._parties(request.subjects, terms, read)
        answers: list[Admitted] = []
        for at, party in enumerate(parties):
            try:
                answer = party.admit(request)
            except Unavailable:
                self._give_back(answers)
                raise
            if isinstance(answer, Refused):
                self._give_back(answers)
                return refusal_of_all(answer, parties[at + 1 :], request)
            request = request.within(answer.hold)
            answers.append(answer)
        return join(answers)

    def extend(self, hold: Hold, used: Used, request: AdmissionRequest, terms: Terms) -> Extension:
        """Settle what a run used in all so far and hold its next model call, as `request` says; all or nothing.

        Safe to repeat for the same `hold`. Only limits of tokens and money are asked; after a refusal the run holds no
        less than its last call's.
        """
        known = {each.id: each for each in subjects_apart(request.subjects)}
        extended: list[Extended] = []
        for own in hold.apart:
            subject = known.get(own.place)
            limits = terms_apart(subject.limits if subject else {})
            answer = self._account(own.place).extend(own, used, replace(request, subjects=()), limits)
            if isinstance(answer, Refused):
                return rescope(answer, subject.scope) if subject else answer
            if not isinstance(answer, Extended):
                return answer
            request = request.within(answer.hold)
            extended.append(replace(answer, readings=rescope_all(answer.readings, subject.scope if subject else "key")))
        request = replace(request, subjects=subjects_within(request.subjects))
        answer = self._account().extend(hold, used, request, terms)
        if not isinstance(answer, Extended):
            return answer
        readings = (*answer.readings, *(reading for each in extended for reading in each.readings))
        return Extended(replace(answer.hold, apart=tuple(each.hold for each in extended)), readings)

    def record(
        self, amounts: Mapping[LimitName, int], terms: Terms, subjects: Sequence[Subject] = ()
    ) -> Recorded | Refused:
        """Count what is not a turn, such as a tool call, against every limit that it has, all or nothing.

        A reply that was lost and repeated may count twice, never too little. Closed when the table does not answer,
        but where minutes are open.
        """
        counted: list[tuple[Party, Counted]] = []
        for party in self._parties(subjects, terms, ()):
            try:
                answer = party.account.count(amounts, party.terms, party.subjects)
            except Unavailable:
                self._uncount(counted)
                raise
            if isinstance(answer, Refused):
                self._uncount(counted)
                return rescope(answer, party.scope)
            counted.append((party, answer))
        readings = [each for party, one in counted[::-1] for each in rescope_all(one.recorded.readings, party.scope)]
        return Recorded(tuple(readings), any(one.recorded.degraded for _, one in counted))

    def settle(self, hold: Hold, tokens: int, cost_nanos: int) -> Settlement:
        """Free the slot and correct the counters to what was used in all, once; call it on every way out."""
        for own in hold.apart:
            self._account(own.place).settle(own, tokens, cost_nanos)
        return self._account(hold.place).settle(hold, tokens, cost_nanos)

    def release(self, hold: Hold) -> Settlement:
        """Undo an admission whose run never began: nothing is counted, its request and session neither."""
        for own in hold.apart:
            self._account(own.place).release(own)
        return self._account(hold.place).release(hold)

    def locate(self, hold: Hold) -> Hold | None:
        """Return a run's hold as its slot says now; None if nothing is held (any more)."""
        found = self._account(hold.place).locate(hold)
        if found is None or not hold.apart:
            return found
        return replace(found, apart=tuple(self._account(own.place).locate(own) or own for own in hold.apart))

    def heartbeat(self, hold: Hold) -> Heartbeat:
        """Renew the lease; a run that nothing recorded has none to lose."""
        until = int(self.store.clock().timestamp()) + LEASE_SECONDS + 1
        for own in (*hold.apart, hold):
            answer = self._account(own.place).heartbeat(own)
            if not isinstance(answer, Renewed):
                return answer
            until = min(until, answer.lease_until)
        return Renewed(until)

    def find(self, run_id: RunId, terms: Terms) -> Hold | None:
        """Return what the tenant's items hold for a run whose hold was not kept, as for one whose worker died."""
        return self._account().find(run_id, terms)

    def _parties(self, subjects: Sequence[Subject], terms: Terms, read: Items) -> list[Party]:
        apart = [
            Party(self._account(each.id), terms_apart(each.limits), each.scope) for each in subjects_apart(subjects)
        ]
        return [*apart, Party(self._account(), terms, subjects=subjects_within(subjects), read=read)]

    def _account(self, place: str = "") -> Account:
        store = self.store.at(place) if place else self.store
        return Account(store, self.minutes_open, self.on_failure)

    def _give_back(self, answers: Sequence[Admitted]) -> None:
        """Undo what was admitted before somebody refused. What cannot be undone is the sweeper's: its run never was."""
        for answer in answers:
            try:
                self._account(answer.hold.place).release(answer.hold)
            except Unavailable as failure:
                self.on_failure(failure)

    def _uncount(self, counted: Sequence[tuple[Party, Counted]]) -> None:
        for party, one in counted:
            try:
                party.account.uncount(one)
            except Unavailable as failure:
                self.on_failure(failure)
