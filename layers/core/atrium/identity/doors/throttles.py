"""What slows down those who guess passwords, and cannot be used to lock anybody out for ever (ADR 0081).

    address           30 failures a minute, whatever the emails
    email             20 failures in 15 minutes from addresses that are not known; one from which this email's right
                      password came within 30 days passes
    email, address    five failures at once, then a wait that doubles up to 15 minutes

All of it hangs on the email as it was typed, whether anybody has it or not, and lies among the platform's items. A
success takes its own attempts back. An IPv6 address counts by its /64, which is one household's.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

from atrium.identity.doors.backoff import FREE, Waiting, attempt, forget
from atrium.identity.doors.windows import Full, Taken, Window, give_back, take
from atrium.kernel.clock import Clock, epoch_seconds, format_time
from atrium.kernel.errors import RateLimited
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import LIMIT_MAX, Position
from atrium.storage import throttle_keys
from atrium.storage.keys import Key
from atrium.storage.queries import Query
from atrium.storage.table import PlatformTable
from atrium.storage.writes import ANY, Put

ADDRESS_MAX, ADDRESS_SECONDS = 30, 60
EMAIL_MAX, EMAIL_SECONDS = 20, 900
PASSWORD_MAX, PASSWORD_SECONDS = 5, 900
UNLOCKS_MAX, UNLOCKS_SECONDS = 5, 86_400
KNOWN = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login that was let through, and what to take back when it succeeds."""

    email: str
    place: str
    taken: tuple[Taken, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Throttles:
    """The counters of all doors."""

    table: PlatformTable
    clock: Clock

    def enter_login(self, email: str, ip: str) -> Attempt:
        """Let a login be tried, or raise `RateLimited` with the true time to wait."""
        place = _place(ip)
        address = self._take(Window(throttle_keys.address_failures(place, "LOGIN"), ADDRESS_MAX, ADDRESS_SECONDS))
        taken = [address]
        if not self._is_known(email, place):
            taken.append(self._take(Window(throttle_keys.email_failures(email), EMAIL_MAX, EMAIL_SECONDS)))
        waiting = attempt(self.table, throttle_keys.pair_failures(email, place), now=self.clock())
        if waiting is not None:
            for each in taken[1:]:
                give_back(self.table, each)
            raise self._wait(waiting)
        return Attempt(email, place, tuple(taken))

    def succeed(self, attempt: Attempt) -> None:
        """Take a login's attempts back, and know its address from now on."""
        forget(self.table, throttle_keys.pair_failures(attempt.email, attempt.place))
        for taken in attempt.taken:
            give_back(self.table, taken)
        self.know(attempt.email, attempt.place)

    def know(self, email: str, ip_or_place: str) -> None:
        """Remember that somebody who proved to be this email's owner came from there."""
        until = epoch_seconds(self.clock() + KNOWN)
        item = {"expires_at": until, "ttl": until}
        self.table.write(Put(throttle_keys.known_address(email, _place(ip_or_place)), item, ANY))

    def enter_ticket(self, ip: str) -> Taken:
        """Let a one-time token be shown, or raise `RateLimited`."""
        return self._take(Window(throttle_keys.address_failures(_place(ip), "TICKET"), ADDRESS_MAX, ADDRESS_SECONDS))

    def enter_password(self, user_id: str) -> Taken:
        """Let a user's old password be tried, or raise `RateLimited`."""
        return self._take(Window(throttle_keys.password_attempts(user_id), PASSWORD_MAX, PASSWORD_SECONDS))

    def take_back(self, taken: Taken) -> None:
        give_back(self.table, taken)

    def unlock(self, email: str, tenant_id: TenantId) -> None:
        """Forget the failures of an email: five times a day in each tenant, because others may know it, too."""
        self._take(Window(throttle_keys.unlocks(email, tenant_id), UNLOCKS_MAX, UNLOCKS_SECONDS))
        partition = throttle_keys.email_failures(email).partition
        position: Position | None = None
        while True:
            page = self.table.query(Query(partition, limit=LIMIT_MAX, position=position))
            places = [Key(partition, str(item["sk"])) for item in page.items]
            self.table.delete_all([place for place in places if not place.sort.startswith(throttle_keys.KNOWN)])
            position = page.position
            if position is None:
                return

    def _is_known(self, email: str, place: str) -> bool:
        item = self.table.get(throttle_keys.known_address(email, place))
        return item is not None and item["expires_at"] > epoch_seconds(self.clock())

    def _take(self, window: Window) -> Taken:
        found = take(self.table, window, now=self.clock())
        if isinstance(found, Full):
            raise self._refusal(found.maximum, found.maximum, found.until)
        return found

    def _wait(self, waiting: Waiting) -> RateLimited:
        return self._refusal(waiting.failures, FREE, waiting.until)

    def _refusal(self, used: int, maximum: int, until: datetime) -> RateLimited:
        seconds = max(1, math.ceil((until - self.clock()).total_seconds()))
        return RateLimited(
            "Too many attempts; wait, or ask an administrator of your tenant",
            retry_after_seconds=seconds,
            extensions={"limit": "attempts", "used": used, "max": maximum, "resets_at": format_time(until)},
        )


def _place(ip: str) -> str:
    """Return what counts as one address."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip or "unknown"
    return f"{IPv6Address(int(address) >> 64 << 64)}/64" if isinstance(address, IPv6Address) else str(address)
