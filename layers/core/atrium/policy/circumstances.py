"""What a request says of itself, held against conditions. What it does not say is neither met nor unmet: None."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from atrium.kernel.clock import to_zone
from atrium.policy.conditions import (
    AddressCondition,
    AmountCondition,
    Conditions,
    TimeCondition,
    read_network,
    read_zone,
)

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Circumstances:
    """When, from where, under which plan, about how much. Empty and None mean that it is not known."""

    at: datetime
    ip: str = ""
    plan: str = ""
    amount: Decimal | None = None


type Check = Callable[[Circumstances], bool | None]


def compile_conditions(conditions: Conditions) -> tuple[Check, ...]:
    """Return one check for each condition that is named."""
    checks: list[Check] = []
    if conditions.time is not None:
        checks.append(_check_time(conditions.time))
    if conditions.ip is not None:
        checks.append(_check_address(conditions.ip))
    if conditions.plan is not None:
        plans = frozenset[str](conditions.plan)
        checks.append(lambda found: found.plan in plans if found.plan else None)
    if conditions.amount is not None:
        checks.append(_check_amount(conditions.amount))
    return tuple(checks)


def judge(checks: Iterable[Check], circumstances: Circumstances) -> bool | None:
    """Return whether all are met; one that is unmet decides, one that is not known leaves it open."""
    known = True
    for check in checks:
        answer = check(circumstances)
        if answer is False:
            return False
        known = known and answer is not None
    return True if known else None


def _check_time(wanted: TimeCondition) -> Check:
    zone = read_zone(wanted.zone)
    after, before = wanted.after, wanted.before
    days = frozenset(_DAYS.index(day) for day in (_DAYS if wanted.days is None else wanted.days))
    start, end = (_minute(wanted.hours.start), _minute(wanted.hours.end)) if wanted.hours else (0, _MINUTES)

    def check(found: Circumstances) -> bool:
        if (after is not None and found.at < after) or (before is not None and found.at >= before):
            return False
        local = to_zone(found.at, zone)
        minute = 60 * local.hour + local.minute
        in_hours = start <= minute < end if start < end else minute >= start or minute < end
        return in_hours and local.weekday() in days

    return check


def _minute(hour: str) -> int:
    """Return the minute of the day of an hour as `09:30`."""
    return 60 * int(hour[:2]) + int(hour[3:])


def _check_address(wanted: AddressCondition) -> Check:
    inside = [read_network(text) for text in wanted.any_of or ()]
    outside = [read_network(text) for text in wanted.none_of or ()]

    def check(found: Circumstances) -> bool | None:
        address = _read_address(found.ip)
        if address is None:
            return None
        if any(address in network for network in outside):
            return False
        return wanted.any_of is None or any(address in network for network in inside)

    return check


@lru_cache(1_000)
def _read_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, None if the text is none; an IPv4 address in IPv6's clothes is taken out of them."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _check_amount(wanted: AmountCondition) -> Check:
    low, high = wanted.min, wanted.max

    def check(found: Circumstances) -> bool | None:
        if found.amount is None:
            return None
        return (low is None or low <= found.amount) and (high is None or found.amount <= high)

    return check
