"""The decision, pure: an explicit deny wins, then an allow, then the answer is no.

    deny    a policy that denies and holds, of whatever priority, ends it
    allow   otherwise a policy that allows and holds
    no      otherwise

What a request leaves unsaid counts against it: a deny whose condition cannot be judged holds, an allow does not.

The built-in policies speak for a kind of resource (route, method, tool, model) until the tenant has an allow of its
own for that kind; so a single deny takes something away, and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

from atrium.policy.circumstances import Check, compile_conditions, judge
from atrium.policy.model import AccessRequest, Decision, Policy
from atrium.policy.patterns import WILDCARD, Patterns

MATCHES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class _Rule:
    policy: Policy
    principals: Patterns
    actions: Patterns
    resources: Patterns
    checks: tuple[Check, ...]

    def concerns(self, request: AccessRequest) -> bool:
        """Tell whether the rule speaks of this request at all, whatever its circumstances."""
        return (
            self.resources.fit(request.resource)
            and self.actions.fit(request.action)
            and self.principals.fit_any(request.subject)
        )

    def holds(self, request: AccessRequest) -> bool:
        met = judge(self.checks, request.circumstances)
        return self.policy.effect == "deny" if met is None else met


class PolicySet:
    """A tenant's policies, compiled. Remembers which of them concern a subject, action and resource; times, addresses
    and amounts are judged anew each time, so what is remembered is never wrong. Safe for threads.
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
        """Return the decision; an explicit deny wins whatever the priorities."""
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
    """Denies first, then the higher priority, then the older policy."""
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
