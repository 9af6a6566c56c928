"""How many calls of a tenant follow events of runs at the same time. Each of them holds a container of chat.

One item in the tenant's partition, apart from those that admit turns: follower -> end of its lease. A follower renews
its lease while it follows and removes itself at its end; one whose function died counts until its lease is over. A
follower is taken by one conditional write, so the limit is exact however many calls race.

    take 1 write (2 the first time, or where leases of others are over); renew 1 write in 20 s; release 1 write
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

from atrium.kernel.clock import Clock, epoch_seconds, format_time
from atrium.kernel.errors import ConcurrencyLimited, ConditionFailed, Unavailable
from atrium.storage import keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import NEW, Put, Update
from atrium.tenants.plans import PLANS, PlanName

FOLLOWERS_MAX = 32
"""A third of the containers that chat has by default (`PlatformConcurrency`, 100)."""
LIMIT = "event_followers"
LEASE_SECONDS = 60
RENEW_SECONDS = 20
RETRY_SECONDS = 5
_KEPT_SECONDS = 86_400
_ATTEMPTS = 8


def followers_max(plan: PlanName) -> int:
    """Return the limit of a plan: two for each turn at once that it allows, at most 32."""
    turns = int(PLANS[plan].limits["concurrent_turns"])
    return FOLLOWERS_MAX if turns < 0 else min(2 * turns, FOLLOWERS_MAX)


@dataclass(frozen=True, slots=True)
class FollowerLimit:
    """The followers of one tenant."""

    table: TenantTable
    maximum: int
    clock: Clock

    def take(self) -> Follower:
        """Count one more follower; `ConcurrencyLimited` if there are as many as there may be."""
        name = f"f{secrets.token_hex(8)}"
        known: Mapping[str, int] | None = {}
        for _ in range(_ATTEMPTS):
            now = epoch_seconds(self.clock())
            try:
                self.table.write(self._begin(name, now) if known is None else self._taking(name, known, now))
            except ConditionFailed as failed:
                known = cast("Mapping[str, int]", failed.item["slots"]) if failed.item else None
                if known and name in known:  # the reply of the first attempt was lost
                    return Follower(self, name, now)
            else:
                return Follower(self, name, now)
            if known is None:
                continue
            live = [ends_at for ends_at in known.values() if ends_at > now]
            if len(live) >= self.maximum:
                raise self._full(len(live))
        raise Unavailable(internal="followers: met others too often", retry_after_seconds=1)

    def renew(self, name: str) -> bool:
        """Extend a lease; False if another call took its place after it was over."""
        now = epoch_seconds(self.clock())
        values = {"ends": now + LEASE_SECONDS, "ttl": now + _KEPT_SECONDS}
        change = f"SET #slots.#{name} = :ends, #ttl = :ttl"
        try:
            self.table.write(Update(keys.followers(), change, f"attribute_exists(#slots.#{name})", values))
        except ConditionFailed:
            return False
        return True

    def release(self, name: str) -> None:
        """Remove a follower. If the table cannot be written, its lease ends by itself."""
        present = f"attribute_exists(#slots.#{name})"
        with suppress(ConditionFailed, Unavailable):
            self.table.write(Update(keys.followers(), f"REMOVE #slots.#{name}", present))

    def _begin(self, name: str, now: int) -> Put:
        """Return the write of the item's first follower."""
        return Put(keys.followers(), {"slots": {name: now + LEASE_SECONDS}, "ttl": now + _KEPT_SECONDS}, NEW)

    def _taking(self, name: str, known: Mapping[str, int], now: int) -> Update:
        """Return the write of another follower, in place of those of `known` whose lease is over."""
        over = {each: ends_at for each, ends_at in known.items() if ends_at <= now}
        change = f"SET #slots.#{name} = :ends, #ttl = :ttl"
        if over:
            change += " REMOVE " + ", ".join(f"#slots.#{each}" for each in over)
        unchanged = "".join(f" AND #slots.#{each} = :{each}" for each in over)
        # The second part: the SDK repeats a write whose reply was lost.
        condition = f"(size(#slots) < :room{unchanged}) OR attribute_exists(#slots.#{name})"
        values = {"ends": now + LEASE_SECONDS, "ttl": now + _KEPT_SECONDS, "room": self.maximum + len(over), **over}
        return Update(keys.followers(), change, condition, values)

    def _full(self, used: int) -> ConcurrencyLimited:
        resets_at = self.clock() + timedelta(seconds=RETRY_SECONDS)
        return ConcurrencyLimited(
            f"The tenant's limit {LIMIT} is {self.maximum} at once. Wait for another follower to end, or poll without "
            "`wait`.",
            retry_after_seconds=RETRY_SECONDS,
            extensions={
                "limit": LIMIT,
                "scope": "tenant",
                "used": used,
                "max": self.maximum,
                "resets_at": format_time(resets_at),
            },
        )


@dataclass(slots=True)
class Follower:
    """A call that follows a run's events, and its lease in the follower limit."""

    limit: FollowerLimit
    name: str
    renewed_at: int
    _released: bool = field(default=False, init=False)

    def hold(self) -> bool:
        """Renew the lease when it is time; False if the place is lost."""
        now = epoch_seconds(self.limit.clock())
        if now - self.renewed_at < RENEW_SECONDS:
            return True
        self.renewed_at = now
        return self.limit.renew(self.name)

    def release(self) -> None:
        """Remove the lease. Idempotent."""
        if not self._released:
            self._released = True
            self.limit.release(self.name)
