"""The platform's ceiling of turns at once, leased in blocks by the tenants' admission items.

    CEILING    0        blocks {<tenant>/<shard>: {n, u}}, v     what is leased to which item, and until when
    ADMISSION  <shard>  bk bu bg bs                              that item's own block: slots, until, generation, scarce

An admission looks at its own item alone. A slot ends no later than its item's block, and an item's block is never more
than the platform knows of it: it grows there first and here second, shrinks here first and there second, and each write
here is on the condition of the generation that was read before. So all live slots together are within the ceiling.

A block whose lease leaves less than three quarters of the ceiling is given back with the item's last slot:
else tenants that are seldom called would hold all of a ceiling under which nothing runs.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.quotas.expression import Expression
from atrium.quotas.state import Block, State
from atrium.storage import keys
from atrium.storage.failures import Contended
from atrium.storage.keys import Key
from atrium.storage.table import BoundTable, PlatformTable, TenantTable
from atrium.storage.writes import NEW, Put, Write

BLOCK_SECONDS = 120
GRACE_SECONDS = 5  # clocks differ: a block that is over for its item is not yet for the others
SPARE_SLOTS_MAX = 4
_GIVING_BACK_MAX = 3
_ATTEMPTS_MAX = 40


@dataclass(frozen=True, slots=True)
class Full:
    """The ceiling leaves no room: what is leased, and the ceiling."""

    used: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an item asks for: the fewest slots that help, as many as may be alive in it, and until when."""

    least: int
    present: int
    until: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The block that an item gets, and all blocks as they are with it. `shrinks` where it is less than was leased."""

    block: Block
    blocks: Mapping[str, Mapping[str, int]]
    shrinks: bool


def plan_grant(
    blocks: Mapping[str, Mapping[str, int]], holder: str, wanted: Wanted, now: float, maximum: int
) -> Grant | Full:
    """Decide on a lease: what is needed, and some slots to spare while there is plenty. A pure function.

    Spare slots are an eighth of what is left, four at most, so that a small ceiling is not eaten up by who comes first;
    none where it is scarce.
    """
    live = {name: block for name, block in blocks.items() if name == holder or block["u"] >= now - GRACE_SECONDS}
    own = live.get(holder, {"n": 0, "u": 0})
    is_over = own["u"] < now - GRACE_SECONDS
    others = sum(block["n"] for name, block in live.items() if name != holder)
    left = maximum - others
    if wanted.least > left:
        return Full(others + (0 if is_over else own["n"]), maximum)
    is_scarce = 4 * (left - wanted.least) < 3 * maximum
    spare = 0 if is_scarce else min(SPARE_SLOTS_MAX, (left - wanted.least) // 8)
    size = min(left, max(wanted.least + spare, wanted.present))
    if size < wanted.present:  # what it has may all be renewed
        size = max(size, min(left, own["n"]))
    until = max(int(now) + BLOCK_SECONDS, wanted.until, own["u"])
    return Grant(Block(size, until, is_scarce), {**live, holder: {"n": size, "u": until}}, shrinks=size < own["n"])


@dataclass(frozen=True, slots=True)
class Lender:
    """Leases blocks of the platform's ceiling. One read and two writes a lease, three where a block shrinks."""

    platform: PlatformTable
    maximum: int
    clock: Clock

    def lease(self, table: TenantTable, key: Key, state: State, until: int, *, more: int) -> Full | State:
        """See to it that an item's block lasts until a moment and has room for what runs, and so many `more`.

        `state` is the item as it was read; it is returned as it is then. Whoever renews a slot asks for no more, and
        counts each slot that is there.
        """
        holder = f"{table.tenant_id}/{key.sort}"
        for attempt in range(_ATTEMPTS_MAX):
            now = self.clock().timestamp()
            state = State(table.get(key) if attempt else state.item, now)
            running = len(state.slots) - (len(state.lapsed) if more else 0)
            if state.block.size >= running + more and state.block.until >= until:
                return state
            is_closed = state.block.until < now  # then nobody renews a slot without a lease
            wanted = Wanted(running + more, 0 if is_closed else len(state.slots), until)
            kept = self.platform.get(keys.ceiling()) or {"blocks": {}, "v": 0}
            grant = plan_grant(kept["blocks"], holder, wanted, now, self.maximum)
            if isinstance(grant, Full):
                return grant
            with suppress(ConditionFailed, Contended):  # somebody else was at the item or at the ceiling: look again
                return State(self._write(table, key, state, grant, kept["v"], is_closed=is_closed), now)
        raise Unavailable(internal="the platform's ceiling stayed contended", retry_after_seconds=1)

    def give_back(self, table: TenantTable, key: Key, state: State) -> None:
        """Give an idle item's block back where slots are scarce; where somebody is faster, it ends by itself.

        The platform's item is read before each write of the item's generation, and written last: whoever leases
        for this item in between finds another generation, or has written another version.
        """
        block, generation, holder = state.block, state.generation, f"{table.tenant_id}/{key.sort}"
        if not block.scarce or not block.size or state.slots:
            return
        with suppress(ConditionFailed, Contended, Unavailable):
            for written in range(generation, generation + _GIVING_BACK_MAX):
                kept = self.platform.get(keys.ceiling()) or {"blocks": {}, "v": 0}
                self._set(table, key, Block(0, 0, scarce=True), written, slots_max=0)
                with suppress(ConditionFailed, Contended):
                    self._put({name: each for name, each in kept["blocks"].items() if name != holder}, kept["v"])
                    return

    def refusal(self, table: TenantTable, key: Key, state: State, until: int) -> Full | None:
        """Tell without a write whether the ceiling leaves an item no slot more."""
        running = len(state.slots) - len(state.lapsed)
        kept = self.platform.get(keys.ceiling()) or {"blocks": {}}
        wanted = Wanted(running + 1, 0, until)
        holder = f"{table.tenant_id}/{key.sort}"
        grant = plan_grant(kept["blocks"], holder, wanted, self.clock().timestamp(), self.maximum)
        return grant if isinstance(grant, Full) else None

    def _put(self, blocks: Mapping[str, Mapping[str, int]], version: int) -> None:
        item: dict[str, Any] = {"blocks": blocks, "v": version + 1}
        condition, values = ("#v = :v", {"v": version}) if version else (NEW, {})
        _write(self.platform, Put(keys.ceiling(), item, condition, values), item)

    def _write(
        self, table: TenantTable, key: Key, state: State, grant: Grant, version: int, *, is_closed: bool
    ) -> Mapping[str, Any]:
        generation = state.generation
        if grant.shrinks:
            smaller = Block(min(state.block.size, grant.block.size), state.block.until, grant.block.scarce)
            slots_max = None if is_closed or state.roll is None else grant.block.size
            self._set(table, key, smaller, generation, slots_max=slots_max)
            generation += 1
        self._put(grant.blocks, version)
        return self._set(table, key, grant.block, generation)

    def _set(
        self, table: TenantTable, key: Key, block: Block, generation: int, *, slots_max: int | None = None
    ) -> Mapping[str, Any]:
        """Write an item's block on the condition that nobody has since it was read."""
        expression = Expression()
        if generation:
            expression.require_equal("bg", generation)
        else:
            expression.require_absent("bg")
        if slots_max is not None:
            expression.require_fewer("slots", slots_max + 1)
        expression.set("bk", block.size)
        expression.set("bu", block.until)
        expression.set("bg", generation + 1)
        expression.set("bs", int(block.scarce))
        return _write(table, expression.update(key), {"bk": block.size, "bu": block.until, "bg": generation + 1})


def _write(table: BoundTable, write: Write, written: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write and return the item, or find that it is so already: a reply was lost, or somebody wrote the same."""
    try:
        return table.write(write)
    except ConditionFailed as refused:
        item = refused.item or {}
        if any(item.get(name) != value for name, value in written.items()):
            raise
        return item
