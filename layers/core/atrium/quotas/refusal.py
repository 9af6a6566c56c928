"""Which limit refuses a call, and when it frees.

Of several that bind, the one that frees last is told, because only then can the call succeed: `Retry-After` is true.
What is larger than its whole limit is never admitted, and is told before all others.
"""

from dataclasses import dataclass
from math import ceil, inf

from atrium.quotas.charges import Charge
from atrium.quotas.meters import BUCKETS, frees_at
from atrium.quotas.model import Reading, Refused
from atrium.quotas.state import State

SLOT_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Bound:
    """A charge that does not fit, and when it will; infinity where never."""

    charge: Charge
    used: int
    free_at: float


def find_bound(charge: Charge, state: State) -> Bound | None:
    """Return why a charge does not fit at `state.now`, or None."""
    used = state.used(charge.meter, charge.prefix)
    if used + charge.amount <= charge.max:
        return None
    if charge.amount > charge.max:
        return Bound(charge, used, inf)
    return Bound(charge, used, _free_at(charge, state, used))


def refuse(bounds: list[Bound], state: State, readings: tuple[Reading, ...] = ()) -> Refused:
    """Turn the binding limits of one item into an answer."""
    bound = max(bounds, key=lambda each: each.free_at)
    charge = bound.charge
    resets_at = None if bound.free_at == inf else bound.free_at
    wait = None if resets_at is None else max(1, ceil(resets_at - state.now))
    return Refused(charge.meter.limit, charge.scope, bound.used, charge.max, resets_at, wait, readings)


def refuse_platform(used: int, maximum: int, now: float, readings: tuple[Reading, ...] = ()) -> Refused:
    """Return the refusal of a call for which the platform has no slot left, whatever its tenant may."""
    return Refused("platform_concurrency", "platform", used, maximum, now + SLOT_SECONDS, SLOT_SECONDS, readings)


def read(charge: Charge, state: State) -> Reading:
    """Return a limit's figures as they stand. A minute resets when its oldest second leaves the window."""
    used = state.used(charge.meter, charge.prefix)
    match charge.meter.span:
        case "minute":
            live = state.live(charge.prefix + charge.meter.letter)
            resets_at: float | None = (live[0][0] if live else state.at) + BUCKETS
        case "slots":
            resets_at = None
        case span:
            resets_at = frees_at(span, state.at)
    return Reading(charge.meter.limit, charge.scope, used, charge.max, resets_at)


def _free_at(charge: Charge, state: State, used: int) -> float:
    match charge.meter.span:
        case "minute":
            return float(_second_that_frees(charge, state, used) + BUCKETS)
        case "slots":
            return state.now + SLOT_SECONDS
        case span:
            return frees_at(span, state.at)


def _second_that_frees(charge: Charge, state: State, used: int) -> int:
    """Return the second with whose end enough has left the window, oldest first."""
    left = used
    for second, amount in state.live(charge.prefix + charge.meter.letter):
        left -= amount
        if left + charge.amount <= charge.max:
            return second
    return state.at
