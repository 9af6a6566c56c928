"""Decides access requests according to policies, without I/O. Deny policies take precedence; the default is no access.

    deny    if a policy with the effect deny applies, regardless of its priority
    allow   otherwise, if a policy with the effect allow applies
    deny    otherwise

If the request does not contain the value that a condition needs, the result of the condition is unknown (None). In that
case a deny policy applies, and an allow policy does not.

The built-in policies apply to a kind of resource (route, method, tool, model) until the tenant has an allow policy for
that kind. A tenant that adds only a deny policy therefore loses only the permission that the policy names.

In patterns `*` matches any number of any characters, including `/` and `:`. Patterns are matched without regular
expressions, so that no pattern of a tenant can be slow.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Lock

from atrium.kernel.clock import to_zone
from atrium.policy.conditions import (
    AddressCondition,
    AmountCondition,
    Conditions,
    TimeCondition,
    read_network,
    read_zone,
)
from atrium.policy.model import AccessRequest, Circumstances, Decision, Policy

type Check = Callable[[Circumstances], bool | None]

WILDCARD = "*"
MATCHES_MAX = 1_000
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES = 24 * 60


def match(pattern: str, name: str) -> bool:
    """Return whether a name matches a pattern. Case-sensitive."""
    first, *others = pattern.split(WILDCARD)
    if not others:
        return first == name
    last = others.pop()
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in others:
        found = name.find(part, at, end)  # the leftmost match leaves the longest rest for the other parts
        if found < 0:
            return False
        at = found + len(part)
    return True


@dataclass(frozen=True, slots=True)
class Patterns:
    """A set of patterns. A name matches the set if it matches one of the patterns."""

    exact: frozenset[str]
    wild: tuple[Callable[[str], bool], ...]

    @classmethod
    def of(cls, patterns: Iterable[str]) -> "Patterns":
        wild = tuple(_matcher(pattern) for pattern in patterns if WILDCARD in pattern)
        return cls(frozenset(pattern for pattern in patterns if WILDCARD not in pattern), wild)

    def matches(self, name: str) -> bool:
        return name in self.exact or any(matcher(name) for matcher in self.wild)

    def matches_any(self, names: frozenset[str]) -> bool:
        return not self.exact.isdisjoint(names) or any(matcher(name) for matcher in self.wild for name in names)


def _matcher(pattern: str) -> Callable[[str], bool]:
    return lambda name: match(pattern, name)


@dataclass(frozen=True, slots=True)
class _Rule:
    policy: Policy
    principals: Patterns
    actions: Patterns
    resources: Patterns
    checks: tuple[Check, ...]

    def concerns(self, request: AccessRequest) -> bool:
        """Return whether the principal, action and resource match. Conditions are not checked."""
        return (
            self.resources.matches(request.resource)
            and self.actions.matches(request.action)
            and self.principals.matches_any(request.subject)
        )

    def holds(self, request: AccessRequest) -> bool:
        met = judge(self.checks, request.circumstances)
        return self.policy.effect == "deny" if met is None else met


class PolicySet:
    """The compiled policies of a tenant. Thread-safe.

    The policies that match a subject, action and resource are cached. Conditions are evaluated for each decision.
    """

    def __init__(self, own: Iterable[Policy], built_in: Iterable[Policy]) -> None:
        own = list(own)
        self._own = _compile(own)
        self._built_in = _compile(built_in)
        allowed = [resource for policy in own if policy.effect == "allow" for resource in policy.resources]
        self._own_kinds = frozenset(resource.partition(":")[0] for resource in allowed)
        self._matches: dict[tuple[frozenset[str], str, str], tuple[_Rule, ...]] = {}
        self._lock = Lock()

    def decide(self, request: AccessRequest) -> Decision:
        """Return the decision on a request."""
        key = (request.subject, request.action, request.resource)
        rules = self._matches.get(key)
        if rules is None:
            rules = self._remember(key, request)
        holding = [rule.policy for rule in rules if rule.holds(request)]
        if not holding:
            return Decision(False, f"no policy allows {request.action} on {request.resource}")
        first = holding[0]
        allowed = first.effect == "allow"
        reason = f"the policy “{first.name}” {'allows' if allowed else 'denies'} it"
        return Decision(allowed, reason, tuple(policy.id for policy in holding))

    def _remember(self, key: tuple[frozenset[str], str, str], request: AccessRequest) -> tuple[_Rule, ...]:
        kind = request.resource.partition(":")[0]
        built_in = () if self._own_kinds & {kind, WILDCARD} else self._built_in
        found = tuple(sorted((rule for rule in (*self._own, *built_in) if rule.concerns(request)), key=_rank))
        with self._lock:
            if len(self._matches) >= MATCHES_MAX:
                del self._matches[next(iter(self._matches))]
            self._matches[key] = found
        return found


def _rank(rule: _Rule) -> tuple[bool, int, str]:
    """Return the sort key of a rule: deny policies first, then by descending priority, then oldest first."""
    return rule.policy.effect == "allow", -rule.policy.priority, rule.policy.id


def _compile(policies: Iterable[Policy]) -> tuple[_Rule, ...]:
    return tuple(
        _Rule(
            policy,
            Patterns.of(policy.principals),
            Patterns.of(policy.actions),
            Patterns.of(policy.resources),
            compile_conditions(policy.conditions),
        )
        for policy in policies
    )


def compile_conditions(conditions: Conditions) -> tuple[Check, ...]:
    """Return one check for each condition."""
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
    """Return True if all conditions are met, and False if at least one condition is not met.

    Otherwise return None, because the result of at least one condition is unknown.
    """
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
    """Return the minute of the day of a time such as `09:30`."""
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
    """Return the IP address, or None if it is invalid. IPv4-mapped IPv6 addresses are returned as IPv4."""
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
