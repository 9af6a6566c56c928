"""Whose limits a call is under: each subject that is counted apart, then the tenant with those that lie in its items.

Answers say whose limit a figure is: in an item of its own a subject's limits are written like a tenant's.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf

from atrium.kernel.errors import Unavailable
from atrium.quotas.account import Account, Items
from atrium.quotas.model import AdmissionRequest, Admitted, Decision, Reading, Refused, Scope, Subject
from atrium.quotas.terms import Terms
from atrium.quotas.trial import trial_of


def subjects_apart(subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    return tuple(each for each in subjects if each.apart)


def subjects_within(subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    """Return the subjects whose counters lie in the tenant's items."""
    return tuple(each for each in subjects if not each.apart)


@dataclass(frozen=True, slots=True)
class Party:
    """One account that is asked, under its own terms. `read` has its items as somebody read them a moment ago."""

    account: Account
    terms: Terms
    scope: Scope = "tenant"
    subjects: tuple[Subject, ...] = ()
    read: Items = ()

    def admit(self, request: AdmissionRequest) -> Decision:
        answer = self.account.admit(replace(request, subjects=self.subjects), self.terms, self._items())
        if isinstance(answer, Refused):
            return rescope(answer, self.scope)
        hold = replace(answer.hold, place=self.account.store.place)
        return replace(answer, hold=hold, readings=rescope_all(answer.readings, self.scope))

    def _items(self) -> Items:
        """Return what was read; of a subject's own item here, so that its first write is the right one."""
        if not self.account.store.place:
            return self.read
        with suppress(Unavailable):  # then its write decides whether the limit is open
            return (self.account.store.read(0),)
        return ()

    def tried(self) -> "Party":
        """Return the party over its items as they stand now, where nothing is written."""
        return replace(self, account=replace(self.account, store=trial_of(self.account.store)), read=())


def refusal_of_all(refused: Refused, others: Sequence[Party], request: AdmissionRequest) -> Refused:
    """Return the refusal that frees last, those that were not asked yet among them: only then can the call succeed."""
    answers = [refused]
    for party in others:
        tried = party.tried().admit(request)
        if isinstance(tried, Refused):
            answers.append(tried)
    return max(answers, key=lambda each: inf if each.resets_at is None else each.resets_at)


def join(answers: Sequence[Admitted]) -> Admitted:
    """Return one answer of all parties: the tenant's hold, which comes last, knows the others'."""
    tenant = answers[-1]
    return Admitted(
        hold=replace(tenant.hold, apart=tuple(each.hold for each in answers[:-1])),
        readings=tuple(reading for each in (tenant, *answers[:-1]) for reading in each.readings),
        repeated=tenant.repeated,
        degraded=any(each.degraded for each in answers),
    )


def rescope(refused: Refused, scope: Scope) -> Refused:
    if refused.scope != "tenant":
        return refused
    return replace(refused, scope=scope, readings=rescope_all(refused.readings, scope))


def rescope_all(readings: Sequence[Reading], scope: Scope) -> tuple[Reading, ...]:
    return tuple(replace(each, scope=scope) if each.scope == "tenant" else each for each in readings)
