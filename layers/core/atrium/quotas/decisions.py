"""Pure functions that decide, from items as they were read, whether a turn or a call fits the limits of its scopes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, inf

from atrium.kernel.ids import RunId
from atrium.quotas.item import AdmissionItem, bucket
from atrium.quotas.limits import (
    BUCKETS,
    DEFINITIONS,
    WINDOWED,
    Amounts,
    Counted,
    LimitDefinition,
    calendar_counters,
    ends_at,
)
from atrium.quotas.model import (
    TENANT,
    UNLIMITED,
    AdmissionRequest,
    LimitUsage,
    QuotaScope,
    Recorded,
    Rejected,
    Reservation,
    ScopeLimits,
    Slot,
    Used,
    slot_name,
)

SLOT_SECONDS = 1
"""`Retry-After`, in seconds, when all slots are in use. It is an estimate: the end of a running turn is unknown."""

type Seen = Sequence[tuple[AdmissionItem, ScopeLimits]]
"""The item and the limits of each scope of a call. The tenant is last."""
type Charged = Callable[[ScopeLimits], Sequence[LimitIncrement]]
"""A function that returns the increments that a call adds to the counters of a scope."""


@dataclass(frozen=True, slots=True)
class LimitIncrement:
    """An amount to add to a counter, and the limit that applies to the counter. A `max` of -1 means no limit."""

    definition: LimitDefinition
    scope: QuotaScope
    amount: int
    max: int

    @property
    def is_limited(self) -> bool:
        return self.max != UNLIMITED


def turn_charges(request: AdmissionRequest, scope: ScopeLimits) -> tuple[LimitIncrement, ...]:
    """Return the increments that the admission of a turn adds to a scope."""
    own: Amounts = {"r": 1, "s": int(request.new_session), "x": 1}
    return charges({**own, **_call_amounts(request)}, scope)


def call_charges(request: AdmissionRequest, scope: ScopeLimits) -> tuple[LimitIncrement, ...]:
    """Return the increments that the next model call of a run adds to a scope."""
    return charges(_call_amounts(request), scope)


def resumption_charges(request: AdmissionRequest, scope: ScopeLimits) -> tuple[LimitIncrement, ...]:
    """Return the increments that the resumption of a run adds to a scope. The run was counted at its admission."""
    return charges({"x": 1, **_call_amounts(request)}, scope)


def _call_amounts(request: AdmissionRequest) -> Amounts:
    return {"t": request.tokens, "c": request.cost_nanos}


def charges(amounts: Amounts, scope: ScopeLimits) -> tuple[LimitIncrement, ...]:
    """Return an increment for each limit that counts one of the amounts, in the order of the table of limits."""
    return tuple(
        LimitIncrement(each, scope.scope, amounts[each.letter], scope.maximum(name))
        for name, each in DEFINITIONS.items()
        if amounts.get(each.letter)
    )


def rejection(item: AdmissionItem, asked: Sequence[LimitIncrement]) -> Rejected | None:
    """Return None if the increments fit the item, otherwise the rejection for the exceeded limit that resets last."""
    bound: tuple[float, LimitIncrement, int] | None = None
    for charge in asked:
        used = item.used(charge.definition)
        if charge.is_limited and used + charge.amount > charge.max:
            frees = inf if charge.amount > charge.max else _frees_at(item, charge, used)
            bound = max(bound or (0.0, charge, used), (frees, charge, used), key=lambda each: each[0])
    if bound is None:
        return None
    frees, charge, used = bound
    resets = None if frees == inf else frees
    wait = None if resets is None else max(1, ceil(resets - item.now))
    return Rejected(charge.definition.name, charge.scope, used, charge.max, resets, wait, usages(item, asked))


def usages(item: AdmissionItem, asked: Sequence[LimitIncrement], *, added: bool = False) -> tuple[LimitUsage, ...]:
    """Return the usage of each limit that applies to an increment. With `added`, the usage includes the increment."""
    return tuple(
        LimitUsage(
            charge.definition.name,
            charge.scope,
            max(0, item.used(charge.definition) + (charge.amount if added else 0)),
            charge.max,
            resets_at(item, charge.definition),
        )
        for charge in asked
        if charge.is_limited
    )


def resets_at(item: AdmissionItem, definition: LimitDefinition) -> float | None:
    """Return the time of a limit's next reset. A limit per minute resets when its oldest bucket leaves the window."""
    if definition.span != "minute":
        return ends_at(definition.span, item.at)
    live = item.live(definition.letter)
    return float((live[0][0] if live else item.at) + BUCKETS)


def fit(
    request: AdmissionRequest, seen: Seen, charged: Callable[[AdmissionRequest, ScopeLimits], Sequence[LimitIncrement]]
) -> AdmissionRequest | Rejected:
    """Return the request, with fewer output tokens if necessary, or the rejection for the limit that resets last.

    With `call_charges` as `charged`, the items must be those that `without_unused` returns.
    """
    rejected = reject(seen, partial(charged, request))
    if rejected is None:
        return request
    lowered = request.lowered(_left(seen, "t"), _left(seen, "c"))
    if lowered == request:
        return rejected
    return reject(seen, partial(charged, lowered)) or lowered


def reject(seen: Seen, charged: Charged) -> Rejected | None:
    """Return the rejection for the limit that resets last, or None. Its `usages` begin with the tenant's limits."""
    asked = [(item, charged(scope)) for item, scope in seen]
    found = [rejected for item, own in asked if (rejected := rejection(item, own)) is not None]
    if not found:
        return None
    last = max(found, key=lambda each: inf if each.resets_at is None else each.resets_at)
    return replace(last, usages=tuple(usage for item, own in reversed(asked) for usage in usages(item, own)))


def only_minutes(scope: ScopeLimits) -> bool:
    """Return whether all limits of a scope are per minute."""
    return all(
        definition.span == "minute" or scope.limits.get(name, UNLIMITED) == UNLIMITED
        for name, definition in DEFINITIONS.items()
        if definition.place in {"admission", "tool_calls"}
    )


def _left(seen: Seen, letter: Counted) -> int | None:
    """Return the smallest remaining amount of a quantity over all limits and scopes, or None if there is no limit."""
    found = [
        scope.maximum(name) - item.used(each)
        for item, scope in seen
        for name, each in DEFINITIONS.items()
        if each.letter == letter and scope.maximum(name) != UNLIMITED
    ]
    return min(found, default=None)


def without_unused(item: AdmissionItem, slot: Slot, used: Used) -> AdmissionItem:
    """Return a copy of the item without the unused part of a run's reservation, with `dated` set to the admission."""
    attributes = dict(item.attributes or {})
    for name, amount in unused(item, slot, used).items():
        attributes[name] = int(attributes.get(name, 0)) - amount
    return AdmissionItem(attributes, item.now, slot.admitted)


def all_without_unused(
    reservation: Reservation, used: Used, scopes: Sequence[ScopeLimits], items: Mapping[str, AdmissionItem]
) -> list[tuple[AdmissionItem, ScopeLimits]]:
    """Return the scopes' items without the run's unused reservation. An item without the run's slot is unchanged."""
    found = [(items[each.id], items[each.id].find(slot_name(reservation.run_id)), each) for each in scopes]
    return [(without_unused(item, slot, used) if slot else item, scope) for item, slot, scope in found]


def held(run_id: RunId, items: Mapping[str, AdmissionItem]) -> dict[str, Slot]:
    found = ((scope_id, item.find(slot_name(run_id))) for scope_id, item in items.items())
    return {scope_id: slot for scope_id, slot in found if slot is not None}


def seen(scopes: Sequence[ScopeLimits], items: Mapping[str, AdmissionItem]) -> Seen:
    return [(items[each.id], each) for each in scopes]


def without_slot(run_id: RunId, scopes: Sequence[ScopeLimits], items: Mapping[str, AdmissionItem]) -> Seen:
    """Return the items and limits of the scopes in which the run has no slot."""
    return [(item, scope) for item, scope in seen(scopes, items) if item.find(slot_name(run_id)) is None]


def recorded(
    asked: Mapping[str, Sequence[LimitIncrement]], scopes: Sequence[ScopeLimits], items: Mapping[str, AdmissionItem]
) -> Recorded:
    order = sorted(scopes, key=lambda each: each.id != TENANT)
    shown = (usages(items[each.id], asked[each.id], added=True) for each in order)
    return Recorded(tuple(usage for own in shown for usage in own))


def unused(item: AdmissionItem, slot: Slot, used: Used) -> dict[str, int]:
    """Return the unused part of a run's reservation, by counter attribute."""
    amounts = unused_amounts(slot, used)
    found = calendar_counters(amounts, slot.admitted)
    if item.counts_in_window(slot.second) and (item.is_ahead or slot.second > item.at - BUCKETS):
        second = item.at if item.is_ahead else slot.second
        for letter, amount in amounts.items():
            if letter in WINDOWED:
                found |= {f"{letter}n": amount, bucket(letter, second): amount}
    return found


def unused_amounts(slot: Slot, used: Used) -> Amounts:
    """Return the unused part of a run's reservation. Amounts are negative if the usage exceeds the reservation."""
    return {"t": slot.tokens_in_all - used.tokens, "c": slot.cost_in_all_nanos - used.cost_nanos}


def _frees_at(item: AdmissionItem, charge: LimitIncrement, used: int) -> float:
    match charge.definition.span:
        case "minute":
            for second, amount in item.live(charge.definition.letter):
                used -= amount
                if used + charge.amount <= charge.max:
                    return float(second + BUCKETS)
            return float(item.at + BUCKETS)
        case "slots":
            return item.now + SLOT_SECONDS
        case span:
            return ends_at(span, item.at) or inf
