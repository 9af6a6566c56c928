"""How many items a tenant's admission is spread over, and what each may grant.

At most 16 slots lie in an item (its size is paid for by every write), and an item is asked for 300 admissions a second
at most. The shares of each limit sum to it exactly; so a single call can hold at most a share, and the last of a limit
may lie in pieces: day and month counters are evened out between the shards then, minutes free by themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from atrium.quotas.charges import Entry
from atrium.quotas.expression import Expression
from atrium.quotas.model import LEASE_SECONDS, UNLIMITED, LimitName, Limits, Subject
from atrium.quotas.state import LAYOUT, State
from atrium.storage.keys import Key
from atrium.storage.writes import Update

type Item = Mapping[str, Any]

SLOTS_MAX = 16
CROWDED_SLOTS_MAX = 64
SHARED_TOKENS_MIN = 50_000
ADMISSIONS_PER_SECOND_MAX = 300


def count_shards(limits: Limits) -> int:
    """Return over how many items a tenant's admission is spread.

    A limit on tokens per minute keeps them few: a call holds at most a share. Then up to 64 slots lie in an item.
    """
    slots, rate = limits.get("concurrent_turns", 0), limits.get("requests_per_minute", 0)
    wanted = max(1, -(-slots // SLOTS_MAX), -(-rate // (60 * ADMISSIONS_PER_SECOND_MAX)))
    tokens = limits.get("tokens_per_minute", UNLIMITED)
    if tokens == UNLIMITED:
        return wanted
    return max(-(-slots // CROWDED_SLOTS_MAX), min(wanted, max(1, tokens // SHARED_TOKENS_MIN)))


def share_limits(limits: Limits, shard: int, shards: int) -> dict[LimitName, int]:
    """Return a shard's part of each limit; the parts of all shards sum to the limit exactly."""
    return {name: figure if figure == UNLIMITED else share(figure, shard, shards) for name, figure in limits.items()}


def share_subject(subject: Subject, shard: int, shards: int) -> Subject:
    return replace(subject, limits=share_limits(subject.limits, shard, shards))


def order_of(name: str, shards: int) -> list[int]:
    """Return the shards in the order in which a run (or any text) asks them: from its own on, round."""
    first = int.from_bytes(sha256(name.encode()).digest()[-4:]) % shards
    return [(first + step) % shards for step in range(shards)]


def leased_first(order: Sequence[int], items: Sequence[Item | None], now: float) -> list[int]:
    """Return an order with those shards first that have room in a block of the platform's ceiling, where `items` say.

    So a tenant that is seldom called leases one block, not one for each of its shards.
    """
    if len(items) != len(order):
        return list(order)
    states = [State(item, now) for item in items]
    return sorted(order, key=lambda shard: not _has_leased_room(states[shard]))


def _has_leased_room(state: State) -> bool:
    return state.block.until > state.now + LEASE_SECONDS and len(state.slots) - len(state.lapsed) < state.block.size


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard's key, what the call is charged there, and its item as read."""

    key: Key
    entry: Entry
    state: State

    @property
    def holds_its_lease(self) -> bool:
        """Whether the run of the entry has its slot here."""
        return self.entry.lease is not None and self.entry.lease.name in self.state.slots


def plan_evening(shards: Sequence[Shard], receivers: Sequence[int]) -> list[Update]:
    """Return the writes that make room for a call in one of some shards by moving what others have left to it.

    A counter that goes down in one goes up in another by the same, so the tenant's sum stands. Empty where that
    does not help: something else binds everywhere, or all shards together have not enough left.
    """
    for at in receivers:
        moves = _moves(shards[at], shards)
        if moves:
            return [_update(shard, amounts) for shard in shards if (amounts := moves.get(shard.key))]
    return []


def _moves(receiver: Shard, shards: Sequence[Shard]) -> dict[Key, dict[str, tuple[int, int]]] | None:
    """Return for each shard what is added to its counters, with the most that they may be before; None if in vain."""
    moves: dict[Key, dict[str, tuple[int, int]]] = {shard.key: {} for shard in shards}
    for at, charge in enumerate(receiver.entry.charges):
        missing = charge.amount - _left(receiver, at)
        if missing <= 0:
            continue
        if charge.meter.span not in {"day", "month"}:
            return None
        name = charge.meter.attribute(charge.prefix, receiver.state.at)
        moves[receiver.key][name] = (-missing, charge.max)
        for donor in shards:
            if donor is not receiver and missing > 0:
                part = min(missing, max(0, _left(donor, at)))
                missing -= part
                if part:
                    moves[donor.key][name] = (part, donor.entry.charges[at].max - part)
        if missing > 0:
            return None
    return moves if any(moves.values()) else None


def _left(shard: Shard, at: int) -> int:
    charge = shard.entry.charges[at]
    return charge.max - shard.state.used(charge.meter, charge.prefix)


def _update(shard: Shard, amounts: Mapping[str, tuple[int, int]]) -> Update:
    expression = Expression()
    expression.add("ev", 1)
    if shard.entry.parts:
        expression.require_absent_or(LAYOUT, shard.entry.parts)
    for name, (amount, most) in amounts.items():
        expression.require_at_most(name, most)
        expression.add(name, amount)
    return expression.update(shard.key)


def share(figure: int, shard: int, shards: int) -> int:
    """Return a part of a figure; all parts sum to it exactly, and those of a smaller figure are nowhere larger."""
    return figure // shards + (1 if shard < figure % shards else 0)
