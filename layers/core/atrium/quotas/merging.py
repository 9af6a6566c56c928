"""One answer from the refusals of every shard: the tenant's own figures, and the time of the shard that frees first."""

from collections.abc import Sequence
from math import inf

from atrium.quotas.model import UNLIMITED, LimitName, Limits, Reading, Refused, Scope, Subject


def merge(refusals: Sequence[Refused], limits: Limits, subjects: Sequence[Subject]) -> Refused:
    """Return the refusal that frees first, with what all shards have used of that limit.

    What is larger than its share in every shard, but not than the limit, is said to free when a shard would.
    """
    first = min(refusals, key=lambda each: inf if each.resets_at is None else each.resets_at)
    readings = tuple(
        Reading(
            each.limit,
            each.scope,
            sum(_used(refusal, each.limit, each.scope) for refusal in refusals),
            _maximum(each.limit, each.scope, limits, subjects),
            min(_times(refusals, each), default=None),
        )
        for each in first.readings
    )
    used = sum(_used(refusal, first.limit, first.scope) for refusal in refusals)
    maximum = _maximum(first.limit, first.scope, limits, subjects)
    return Refused(first.limit, first.scope, used, maximum, first.resets_at, first.retry_after_seconds, readings)


def _used(refusal: Refused, limit: LimitName, scope: Scope) -> int:
    return sum(reading.used for reading in refusal.readings if (reading.limit, reading.scope) == (limit, scope))


def _times(refusals: Sequence[Refused], like: Reading) -> list[float]:
    return [
        reading.resets_at
        for refusal in refusals
        for reading in refusal.readings
        if (reading.limit, reading.scope) == (like.limit, like.scope) and reading.resets_at is not None
    ]


def _maximum(limit: LimitName, scope: Scope, limits: Limits, subjects: Sequence[Subject]) -> int:
    if scope == "tenant":
        return limits.get(limit, UNLIMITED)
    return next((each.limits[limit] for each in subjects if each.scope == scope and limit in each.limits), UNLIMITED)
