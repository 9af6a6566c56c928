"""A reference implementation of the access rules. It evaluates every policy and caches no result."""

import re

from atrium.policy.builtin import BUILT_IN
from atrium.policy.conditions import Conditions
from atrium.policy.model import AccessRequest, Circumstances, Policy


def fits(pattern: str, name: str) -> bool:
    wanted = ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(wanted, name, re.DOTALL) is not None


def concerns(policy: Policy, request: AccessRequest) -> bool:
    return (
        any(fits(pattern, name) for pattern in policy.principals for name in request.subject)
        and any(fits(pattern, request.action) for pattern in policy.actions)
        and any(fits(pattern, request.resource) for pattern in policy.resources)
    )


def met(conditions: Conditions, found: Circumstances, *, if_unknown: bool) -> bool:
    """Return whether the plan and amount conditions are met. Other tests cover the other conditions."""
    if conditions.plan is not None and found.plan not in conditions.plan:
        return False
    if conditions.amount is None:
        return True
    if found.amount is None:
        return if_unknown
    low, high = conditions.amount.min, conditions.amount.max
    return (low is None or found.amount >= low) and (high is None or found.amount <= high)


def allowed(own: list[Policy], request: AccessRequest) -> tuple[bool, set[str]]:
    """Return whether access is allowed, and the ids of the policies that apply."""
    kind = request.resource.split(":", maxsplit=1)[0]
    speaks_for_itself = any(
        resource == "*" or resource.startswith(f"{kind}:")
        for policy in own
        if policy.effect == "allow"
        for resource in policy.resources
    )
    policies = own if speaks_for_itself else [*own, *BUILT_IN]
    holding = [
        policy
        for policy in policies
        if concerns(policy, request)
        and met(policy.conditions, request.circumstances, if_unknown=policy.effect == "deny")
    ]
    effects = {policy.effect for policy in holding}
    return effects == {"allow"}, {policy.id for policy in holding}
