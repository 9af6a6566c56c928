"""Bodies of policies."""

from ipaddress import ip_address
from typing import Annotated, Any

from atrium.http.fields import Name, OrNone
from atrium.http.models import StrictModel, Timestamp, id_pattern
from atrium.kernel.clock import format_time
from atrium.kernel.errors import named_pattern
from atrium.policy.conditions import ALWAYS, Amount, Conditions
from atrium.policy.model import EXECUTE, Decision, Effect, Policy
from atrium.policy.validation import DESCRIPTION_MAX, PATTERN_MAX, PATTERNS_MAX, PRIORITY_MAX
from atrium.tenants.plans import PlanName
from pydantic import AfterValidator, Field

Pattern = Annotated[str, Field(min_length=1, max_length=PATTERN_MAX)]
PatternList = Annotated[list[Pattern], Field(min_length=1, max_length=PATTERNS_MAX)]
Description = Annotated[str, Field(max_length=DESCRIPTION_MAX)]
Priority = Annotated[int, Field(ge=-PRIORITY_MAX, le=PRIORITY_MAX)]
_LISTS = ("principals", "actions", "resources")

_CLIENT_ID = named_pattern(id_pattern("cli"), "must be the id of an OAuth client, `cli_…`")


def _check_address(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        raise ValueError("must be an address, as `203.0.113.9`") from None
    return text


Address = Annotated[str, Field(max_length=45), AfterValidator(_check_address)]


class PolicyBody(StrictModel):
    """A new policy. `*` stands for any characters; without `conditions` it always holds."""

    name: Name
    """Name of the policy, 1 to 100 visible characters."""
    effect: Effect
    """Whether the policy allows or denies."""
    principals: PatternList
    """Whom it applies to, 1 to 50 patterns as `user:usr_…`, `key:key_…`, `role:viewer` or `*`."""
    actions: PatternList
    """Which actions it applies to, 1 to 50 patterns as `execute` or `*`."""
    resources: PatternList
    """What it applies to, 1 to 50 patterns as `route:GET /v1/agents`, `model:…`, `tool:…` or `agent:…`."""
    conditions: Conditions = ALWAYS
    """When it applies. Default: always."""
    priority: Priority = 0
    """Order of evaluation, -1,000 to 1,000; higher comes first. Default 0."""
    description: OrNone[Description] = None
    """Why the policy exists, at most 500 characters. Null or absent: none."""


class PolicyPatch(StrictModel):
    """Any part of a policy; what is absent stays. `conditions` are replaced as a whole."""

    name: Name = Field(default_factory=str)
    """Name of the policy, 1 to 100 visible characters."""
    effect: Effect = Field(default_factory=lambda: "deny")
    """Whether the policy allows or denies."""
    principals: PatternList = Field(default_factory=list)
    """Whom it applies to, 1 to 50 patterns. Replaced as a whole."""
    actions: PatternList = Field(default_factory=list)
    """Which actions it applies to, 1 to 50 patterns. Replaced as a whole."""
    resources: PatternList = Field(default_factory=list)
    """What it applies to, 1 to 50 patterns. Replaced as a whole."""
    conditions: Conditions = Field(default_factory=Conditions)
    """When it applies. Replaced as a whole."""
    priority: Priority = Field(default_factory=int)
    """Order of evaluation, -1,000 to 1,000; higher comes first."""
    description: OrNone[Description] = None
    """Why the policy exists, at most 500 characters. Null: none."""


class CircumstancesBody(StrictModel):
    """When, from where, in which plan, about how much, and through which OAuth client a user calls.

    What is absent is now, unknown, the tenant's, unknown, and none.
    """

    time: Timestamp | None = None
    """When the call is made (RFC 3339). Null or absent: now."""
    ip: Address | None = None
    """Address the call comes from. Null or absent: unknown."""
    plan: PlanName | None = None
    """Plan of the tenant. Null or absent: its real plan."""
    amount: Amount | None = None
    """Amount of money the call is about, in USD as decimal text. Null or absent: unknown."""
    client: Annotated[str, Field(pattern=_CLIENT_ID)] | None = None
    """OAuth client through which a user calls, as `cli_…`. Null or absent: none."""


class EvaluateBody(StrictModel):
    """A question: may this principal (`user:usr_…`, `key:key_…`, `role:viewer`) do this to that resource?"""

    principal: Annotated[str, Field(min_length=1, max_length=PATTERN_MAX)]
    """Who would call: `user:usr_…`, `key:key_…` or `role:viewer`. At most 200 characters."""
    action: Annotated[str, Field(min_length=1, max_length=PATTERN_MAX)] = EXECUTE
    """What they would do, at most 200 characters. Default `execute`."""
    resource: Annotated[str, Field(min_length=1, max_length=PATTERN_MAX)]
    """What they would do it to, as `route:GET /v1/agents` or `tool:calculator`. At most 200 characters."""
    context: CircumstancesBody = CircumstancesBody()
    """Circumstances of the call. Default: now, from an unknown address, in the tenant's plan."""

    def circumstances(self) -> dict[str, Any]:
        asked = self.context
        return {"at": asked.time, "ip": asked.ip, "plan": asked.plan, "amount": asked.amount, "client": asked.client}


class DecisionAnswer(StrictModel):
    """The answer; `matched` are the policies that hold, the one that decides first. `builtin:…` are the platform's."""

    allowed: bool
    """Whether the call would be allowed."""
    reason: str
    """Why, in one sentence."""
    matched: list[str]
    """Ids of the policies that apply, the deciding one first. `builtin:…` are the platform's own."""


class PolicyAnswer(StrictModel):
    """A policy as it is now."""

    id: str
    """Id of the policy."""
    name: str
    """Name of the policy."""
    effect: Effect
    """Whether the policy allows or denies."""
    principals: list[str]
    """Whom it applies to."""
    actions: list[str]
    """Which actions it applies to."""
    resources: list[str]
    """What it applies to."""
    conditions: dict[str, Any]
    """When it applies. Empty: always."""
    priority: int
    """Order of evaluation; higher comes first."""
    description: str | None
    """Why the policy exists. Null if there is no description."""
    created_at: str
    """When it was created (RFC 3339, UTC)."""
    updated_at: str
    """When it was last changed (RFC 3339, UTC)."""


class CheckedPolicy(PolicyAnswer):
    """A policy that was just set. `warnings` are about patterns that match nothing at present."""

    warnings: list[str]
    """Patterns of this policy that match nothing at present, one sentence each."""


def read_fields(body: PolicyBody | PolicyPatch) -> dict[str, Any]:
    """Return the fields that were sent, in the domain's types."""
    fields = {name: getattr(body, name) for name in body.model_fields_set}
    if "description" in fields:
        fields["description"] = fields["description"] or ""
    return {name: tuple(value) if name in _LISTS else value for name, value in fields.items()}


def render_policy(policy: Policy) -> PolicyAnswer:
    return PolicyAnswer(**_fields(policy))


def render_checked(policy: Policy, warnings: list[str]) -> CheckedPolicy:
    return CheckedPolicy(**_fields(policy), warnings=warnings)


def _fields(policy: Policy) -> dict[str, Any]:
    return {
        "id": policy.id,
        **policy.rule(),
        "description": policy.description or None,
        "created_at": format_time(policy.created_at),
        "updated_at": format_time(policy.updated_at),
    }


def render_decision(decision: Decision) -> DecisionAnswer:
    return DecisionAnswer(allowed=decision.allowed, reason=decision.reason, matched=list(decision.matched))
