"""Limits how many calls of a tenant follow run events at the same time. Each such call occupies a chat container.

One item in the tenant's partition, separate from the admission items, maps followers to the end of their leases. A
follower renews its lease during the call, and is removed when the call ends. After a crash of the function, a follower
is counted until its lease expires. A follower is added by one conditional write, so the limit is exact under
concurrency.

    take 1 write (2 for the first follower, or if other leases have expired); renew 1 write every 20 s; release 1 write
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
"""One third of the default number of chat containers (`PlatformConcurrency`, 100)."""
LIMIT = "event_followers"
LEASE_SECONDS = 60
RENEW_SECONDS = 20
RETRY_SECONDS = 5
_KEPT_SECONDS = 86_400
_ATTEMPTS = 8


def followers_max(plan: PlanName) -> int:
    """Return the limit of a plan: two followers for each concurrent turn that the plan allows, at most 32."""
    turns = int(PLANS[plan].limits["concurrent_turns"])
    return FOLLOWERS_MAX if turns < 0 else min(2 * turns, FOLLOWERS_MAX)


@dataclass(frozen=True, slots=True)
class FollowerLimit:
    """Counts the followers of one tenant."""

    table: TenantTable
    maximum: int
    clock: Clock

    def take(self) -> Follower:
        """Add a follower. Raise `ConcurrencyLimited` if the tenant has the maximum number of followers."""
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
        raise Unavailable(internal="followers were changed concurrently in every attempt", retry_after_seconds=1)

    def renew(self, name: str) -> bool:
        """Extend a follower's lease. Return False if the lease expired and another follower replaced this one."""
        now = epoch_seconds(self.clock())
        values = {"ends": now + LEASE_SECONDS, "ttl": now + _KEPT_SECONDS}
        change = f"SET #slots.#{name} = :ends, #ttl = :ttl"
        try:
            self.table.write(Update(keys.followers(), change, f"attribute_exists(#slots.#{name})", values))
        except ConditionFailed:
            return False
        return True

    def release(self, name: str) -> None:
        """Remove a follower. If the write fails, the follower is counted until its lease expires."""
        present = f"attribute_exists(#slots.#{name})"
        with suppress(ConditionFailed, Unavailable):
            self.table.write(Update(keys.followers(), f"REMOVE #slots.#{name}", present))

    def _begin(self, name: str, now: int) -> Put:
        """Return the write that creates the item with its first follower."""
        return Put(keys.followers(), {"slots": {name: now + LEASE_SECONDS}, "ttl": now + _KEPT_SECONDS}, NEW)

    def _taking(self, name: str, known: Mapping[str, int], now: int) -> Update:
        """Return the write that adds a follower and removes the followers of `known` whose lease has expired."""
        over = {each: ends_at for each, ends_at in known.items() if ends_at <= now}
        change = f"SET #slots.#{name} = :ends, #ttl = :ttl"
        if over:
            change += " REMOVE " + ", ".join(f"#slots.#{each}" for each in over)
        unchanged = "".join(f" AND #slots.#{each} = :{each}" for each in over)
        # The second part of the condition is needed because the SDK repeats a write whose reply was lost.
        condition = f"(size(#slots) < :room{unchanged}) OR attribute_exists(#slots.#{name})"
        values = {"ends": now + LEASE_SECONDS, "ttl": now + _KEPT_SECONDS, "room": self.maximum + len(over), **over}
        return Update(keys.followers(), change, condition, values)

    def _full(self, used: int) -> ConcurrencyLimited:
        resets_at = self.clock() + timedelta(seconds=RETRY_SECONDS)
        return ConcurrencyLimited(
            f"The tenant's limit {LIMIT} is {self.maximum} at once. Wait until another client stops following, or poll "
            "without `wait`.",
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
    """A call that follows a run's events, with its lease in the follower limit."""

    limit: FollowerLimit
    name: str
    renewed_at: int
    _released: bool = field(default=False, init=False)

    def hold(self) -> bool:
        """Renew the lease when it is due. Return False if the lease was lost."""
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
