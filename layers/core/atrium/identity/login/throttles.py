"""Login throttles. They limit password guessing, and cannot be used to lock out a user permanently (ADR 0081).

    address                 30 failures per minute, for all emails together
    tenant, email           20 failures in 15 minutes, from addresses without a successful login of this user in the
                            last 30 days
    tenant, email, address  five attempts without a delay, then a delay that increases from one to 15 minutes

The counters of an email belong to one tenant, so a successful login in one tenant does not reset the counters of
another tenant. Logins that name a tenant and logins without a tenant have separate counters. So a refusal of one kind
does not reveal whether a login of the other kind found a user. Both kinds together allow at most ten guesses per minute
from one address.

The counters use the email in the request, even if no user has this email. A successful login is not counted. IPv6
addresses are counted by their /64 prefix, the usual prefix of one household.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from typing import Any

from atrium.identity.login.backoff import FREE, Waiting, attempt, forget, read_wait
from atrium.identity.login.windows import Full, Taken, Window, give_back, take
from atrium.kernel.clock import Clock, epoch_seconds, format_time
from atrium.kernel.errors import RateLimited
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import LIMIT_MAX
from atrium.storage import throttle_keys
from atrium.storage.keys import Key
from atrium.storage.table import PlatformTable, Query
from atrium.storage.throttle_keys import LoginKind
from atrium.storage.writes import ANY, Put

ADDRESS_MAX, ADDRESS_SECONDS = 30, 60
EMAIL_MAX, EMAIL_SECONDS = 20, 900
PASSWORD_MAX, PASSWORD_SECONDS = 5, 900
UNLOCKS_MAX, UNLOCKS_SECONDS = 5, 86_400
KNOWN = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class LoginTarget:
    """The target of a login attempt: an email in one tenant.

    `tenant` is the tenant's id, or the name in the request if no tenant has this name. A login without a tenant has
    three targets. If fewer than three tenants have the email, the other targets are decoys. Decoys are counted like
    tenants, so that the response does not reveal how many tenants have the email.
    """

    tenant: str
    email: str
    how: LoginKind
    is_decoy: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login attempt that was admitted for at least one target, and the counts to remove after a success.

    `refusal` is the error to raise if the password matches no admitted target. It is None if no target is throttled.
    """

    targets: tuple[LoginTarget, ...]
    place: str
    address: Taken
    admitted: frozenset[LoginTarget]
    windows: Mapping[LoginTarget, Taken] = field(default_factory=dict)
    refusal: RateLimited | None = None


@dataclass(frozen=True, slots=True)
class Throttles:
    """Counts and limits the attempts of all login methods."""

    table: PlatformTable
    clock: Clock

    def enter_login(self, targets: Sequence[LoginTarget], ip: str) -> Attempt:
        """Count a login as failed for each target that is not throttled.

        Raises `RateLimited`, with the remaining delay, if the address or all targets are throttled.
        """
        place = _place(ip)
        address = self._take(Window(throttle_keys.address_failures(place, "LOGIN"), ADDRESS_MAX, ADDRESS_SECONDS))
        found = self.table.batch_get([key for each in targets for key in (_known(each, place), _pair(each, place))])
        windows: dict[LoginTarget, Taken] = {}
        waits: dict[LoginTarget, Waiting | Full] = {}
        for target in targets:
            wait = self._enter(target, place, found, windows)
            if wait is not None:
                waits[target] = wait
        refusal = self._refusal(min(waits.values(), key=lambda each: each.until)) if waits else None
        if refusal is not None and len(waits) == len(targets):
            raise refusal
        return Attempt(tuple(targets), place, address, frozenset(targets) - waits.keys(), windows, refusal)

    def _enter(
        self,
        target: LoginTarget,
        place: str,
        found: Mapping[Key, Mapping[str, Any]],
        windows: dict[LoginTarget, Taken],
    ) -> Waiting | Full | None:
        """Count an attempt for one target. Return the delay if the target is throttled, otherwise None."""
        now, pair = self.clock(), found.get(_pair(target, place))
        waiting = read_wait(pair, now=now)
        if waiting is not None:
            return waiting
        known = found.get(_known(target, place))
        if known is None or known["expires_at"] <= epoch_seconds(now):
            key = throttle_keys.email_failures(target.tenant, target.email, target.how)
            taken = take(self.table, Window(key, EMAIL_MAX, EMAIL_SECONDS), now=now)
            if isinstance(taken, Full):
                return taken
            windows[target] = taken
        waiting = attempt(self.table, _pair(target, place), pair, now=now)
        if waiting is not None and target in windows:
            give_back(self.table, windows.pop(target))
        return waiting

    def succeed(self, attempt: Attempt, proven: Sequence[LoginTarget]) -> None:
        """Remove the counts of the targets whose password was correct, and store the address as known for them.

        The counts of other targets remain. The counts of decoys are removed only if the password was correct in all
        tenants that have the email.
        """
        others = [target for target in attempt.targets if target not in proven]
        cleared = [*proven, *others] if all(target.is_decoy for target in others) else proven
        for target in cleared:
            forget(self.table, _pair(target, attempt.place))
            if target in attempt.windows:
                give_back(self.table, attempt.windows[target])
        give_back(self.table, attempt.address)
        for target in proven:
            self.know(target.tenant, target.email, attempt.place)

    def know(self, tenant: str, email: str, ip_or_place: str) -> None:
        """Store an address from which a user has logged in. The address counts as known for 30 days."""
        until = epoch_seconds(self.clock() + KNOWN)
        item = {"expires_at": until, "ttl": until}
        self.table.write(Put(throttle_keys.known_address(tenant, email, _place(ip_or_place)), item, ANY))

    def enter_one_time_token(self, ip: str) -> Taken:
        """Count an attempt to use a one-time token; raise `RateLimited` if the limit is reached."""
        return self._take(Window(throttle_keys.address_failures(_place(ip), "TICKET"), ADDRESS_MAX, ADDRESS_SECONDS))

    def enter_password(self, user_id: str) -> Taken:
        """Count an attempt to enter the user's old password; raise `RateLimited` if the limit is reached."""
        return self._take(Window(throttle_keys.password_attempts(user_id), PASSWORD_MAX, PASSWORD_SECONDS))

    def take_back(self, taken: Taken) -> None:
        give_back(self.table, taken)

    def unlock(self, email: str, tenant_id: TenantId) -> None:
        """Delete the counted failures of an email in a tenant.

        Raises `RateLimited` after five unlocks in a day, because each unlock allows new guesses.
        """
        self._take(Window(throttle_keys.unlocks(email, tenant_id), UNLOCKS_MAX, UNLOCKS_SECONDS))
        self._remove(email, tenant_id, keeping=throttle_keys.KNOWN)

    def forget(self, email: str, user_id: str, tenant_id: TenantId) -> None:
        """Delete the throttle items of a deleted user: failures, unlocks and known addresses."""
        self._remove(email, tenant_id)
        self.table.delete_all([throttle_keys.password_attempts(user_id), throttle_keys.unlocks(email, tenant_id)])

    def _remove(self, email: str, tenant_id: TenantId, *, keeping: str = "") -> None:
        query = Query(throttle_keys.login_partition(tenant_id, email), limit=LIMIT_MAX)
        while True:
            page = self.table.query_keys(query)
            self.table.delete_all([each for each in page.items if not (keeping and each.sort.startswith(keeping))])
            if page.position is None:
                return
            query = replace(query, position=page.position)

    def _take(self, window: Window) -> Taken:
        found = take(self.table, window, now=self.clock())
        if isinstance(found, Full):
            raise self._refusal(found)
        return found

    def _refusal(self, wait: Waiting | Full) -> RateLimited:
        used, maximum = (wait.failures, FREE) if isinstance(wait, Waiting) else (wait.maximum, wait.maximum)
        seconds = max(1, math.ceil((wait.until - self.clock()).total_seconds()))
        return RateLimited(
            "Too many attempts; wait, or ask an administrator of your tenant to unlock the login",
            retry_after_seconds=seconds,
            extensions={"limit": "attempts", "used": used, "max": maximum, "resets_at": format_time(wait.until)},
        )


def _pair(target: LoginTarget, place: str) -> Key:
    return throttle_keys.pair_failures(target.tenant, target.email, target.how, place)


def _known(target: LoginTarget, place: str) -> Key:
    return throttle_keys.known_address(target.tenant, target.email, place)


def _place(ip: str) -> str:
    """Return the value that is counted as one address: the /64 prefix of an IPv6 address, or an IPv4 address."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip or "unknown"
    return f"{IPv6Address(int(address) >> 64 << 64)}/64" if isinstance(address, IPv6Address) else str(address)
