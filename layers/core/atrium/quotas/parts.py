"""What one shard is charged: under its share of every limit, and for so many shards as the terms say."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from atrium.quotas.charges import Entry, entry_of, entry_of_amounts
from atrium.quotas.model import UNBOUNDED, UNLIMITED, AdmissionRequest, LimitName, Limits, Subject
from atrium.quotas.shards import share_limits, share_subject
from atrium.quotas.terms import Terms

_KEPT: tuple[LimitName, ...] = ("requests_per_day", "sessions_per_day", "tokens_per_month", "cost_per_month")


def turn_entry(request: AdmissionRequest, terms: Terms, shard: int) -> Entry:
    """Return what a turn's admission is charged. Days and months are counted also where nothing bounds them."""
    shared = replace(request, subjects=_shared(request.subjects, terms, shard))
    return replace(entry_of(shared, _counted(share_limits(terms.effective, shard, terms.shards))), parts=terms.shards)


def next_call_entry(request: AdmissionRequest, terms: Terms, shard: int) -> Entry:
    """Return what a further model call of a run is charged: tokens and money alone."""
    amounts: dict[LimitName, int] = {
        "tokens_per_minute": request.tokens_hold,
        "tokens_per_month": request.tokens_hold,
        "cost_per_month": request.cost_hold_nanos,
    }
    subjects = _shared(request.subjects, terms, shard)
    limits = _counted(share_limits(terms.effective, shard, terms.shards))
    return replace(entry_of_amounts(amounts, limits, subjects), parts=terms.shards)


def amounts_entry(amounts: Mapping[LimitName, int], subjects: Sequence[Subject], terms: Terms, shard: int) -> Entry:
    """Return what other amounts are charged."""
    limits = share_limits(terms.effective, shard, terms.shards)
    return replace(entry_of_amounts(amounts, limits, _shared(subjects, terms, shard)), parts=terms.shards)


def _counted(limits: Limits) -> Limits:
    """Return limits under which a day's and a month's counters run on where they are unlimited."""
    return {**limits, **{name: UNBOUNDED for name in _KEPT if limits.get(name, UNLIMITED) == UNLIMITED}}


def _shared(subjects: Sequence[Subject], terms: Terms, shard: int) -> tuple[Subject, ...]:
    return tuple(share_subject(each, shard, terms.shards) for each in subjects)
