"""One answer from the refusals of every shard: the tenant's own figures, and the time of the shard that frees first."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, inf

from atrium.quotas.charges import Charge, Entry
from atrium.quotas.meters import frees_at
from atrium.quotas.model import Reading, Refused
from atrium.quotas.state import State


def merge(refusals: Sequence[Refused], whole: Entry, now: float) -> Refused:
    """Return the refusal of a call that every shard refused; `whole` has what it asks for under undivided limits.

    Of the limits that bind for the tenant as a whole, the one that frees last is told. Where none does (what is left
    lies in pieces), it is the refusal of the shard that frees first.
    """
    if len(refusals) == 1:
        return refusals[0]
    platform = next((each for each in refusals if each.scope == "platform"), None)
    if platform is not None:  # there the tenant's own limits had room
        return replace(platform, readings=())
    readings = tuple(_reading(charge, refusals) for charge in whole.charges)
    first = min(refusals, key=lambda each: inf if each.resets_at is None else each.resets_at)
    bound: tuple[float, Reading] | None = None
    for charge, reading in zip(whole.charges, readings, strict=True):
        if reading.used + charge.amount > charge.max:
            free_at = _free_at(charge, refusals, first, now)
            bound = max(bound or (0.0, reading), (free_at, reading), key=lambda each: each[0])
    if bound is None:
        found = next(each for each in readings if (each.limit, each.scope) == (first.limit, first.scope))
        bound = (inf if first.resets_at is None else first.resets_at, found)
    free_at, told = bound
    resets_at = None if free_at == inf else free_at
    wait = None if resets_at is None else max(1, ceil(resets_at - now))
    return Refused(told.limit, told.scope, told.used, told.max, resets_at, wait, readings)


def sum_readings(own: Sequence[Reading], others: Sequence[State], whole: Entry) -> tuple[Reading, ...]:
    """Return the figures of a tenant as a whole from one shard's after its write and the others' a moment before."""
    found: list[Reading] = []
    for reading in own:
        for charge in whole.charges:
            if (charge.meter.limit, charge.scope) == (reading.limit, reading.scope):
                used = reading.used + sum(other.used(charge.meter, charge.prefix) for other in others)
                found.append(replace(reading, used=used, max=charge.max))
    return tuple(found)


def _reading(charge: Charge, refusals: Sequence[Refused]) -> Reading:
    found = [
        reading
        for refusal in refusals
        for reading in refusal.readings
        if (reading.limit, reading.scope) == (charge.meter.limit, charge.scope)
    ]
    times = [reading.resets_at for reading in found if reading.resets_at is not None]
    used = sum(reading.used for reading in found)
    return Reading(charge.meter.limit, charge.scope, used, charge.max, min(times, default=None))


def _free_at(charge: Charge, refusals: Sequence[Refused], first: Refused, now: float) -> float:
    if charge.amount > charge.max:
        return inf
    if charge.meter.span in {"day", "month"}:
        return frees_at(charge.meter.span, int(now))
    own = [each.resets_at for each in refusals if each.limit == charge.meter.limit and each.resets_at is not None]
    return min(own, default=inf if first.resets_at is None else first.resets_at)
