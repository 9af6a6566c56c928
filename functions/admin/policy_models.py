"""Request and response models of the policy routes."""

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

_CLIENT_ID = named_pattern(id_pattern("cli"), "must be the id of an OAuth client, such as `cli_…`")


def _check_address(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        raise ValueError("must be an IP address, such as `203.0.113.9`") from None
    return text


Address = Annotated[str, Field(max_length=45), AfterValidator(_check_address)]


class PolicyBody(StrictModel):
    """A policy to create. In patterns, `*` matches any characters. A policy without `conditions` always applies."""

    name: Name
    """Name of the policy, 1 to 100 visible characters."""
    effect: Effect
    """Effect of the policy: `allow` or `deny`."""
    principals: PatternList
    """Principals of the policy: 1 to 50 patterns, such as `user:usr_…`, `key:key_…`, `role:viewer` or `*`."""
    actions: PatternList
    """Actions of the policy: 1 to 50 patterns, such as `execute` or `*`."""
    resources: PatternList
    """Resources of the policy: 1 to 50 patterns, such as `route:GET /v1/agents`, `model:…` or `tool:…`."""
    conditions: Conditions = ALWAYS
    """When the policy applies. Default: always."""
    priority: Priority = 0
    """Order of evaluation, -1,000 to 1,000; higher values are evaluated first. Default 0."""
    description: OrNone[Description] = None
    """Why the policy exists, at most 500 characters. Null or absent: no description."""


class PolicyPatch(StrictModel):
    """The fields of a policy to change. Absent fields are not changed. `conditions` are replaced as a whole."""

    name: Name = Field(default_factory=str)
    """Name of the policy, 1 to 100 visible characters."""
    effect: Effect = Field(default_factory=lambda: "deny")
    """Effect of the policy: `allow` or `deny`."""
    principals: PatternList = Field(default_factory=list)
    """Principals to which the policy applies, 1 to 50 patterns. Replaced as a whole."""
    actions: PatternList = Field(default_factory=list)
    """Actions to which the policy applies, 1 to 50 patterns. Replaced as a whole."""
    resources: PatternList = Field(default_factory=list)
    """Resources to which the policy applies, 1 to 50 patterns. Replaced as a whole."""
    conditions: Conditions = Field(default_factory=Conditions)
    """When the policy applies. Replaced as a whole."""
    priority: Priority = Field(default_factory=int)
    """Order of evaluation, -1,000 to 1,000; higher values are evaluated first."""
    description: OrNone[Description] = None
    """Why the policy exists, at most 500 characters. Null removes the description."""


class CircumstancesBody(StrictModel):
    """The circumstances of the evaluated call: time, IP address, plan, amount of money and OAuth client."""

    time: Timestamp | None = None
    """When the call is made (RFC 3339). Null or absent: now."""
    ip: Address | None = None
    """IP address of the caller. Null or absent: unknown."""
    plan: PlanName | None = None
    """Plan of the tenant. Null or absent: the tenant's current plan."""
    amount: Amount | None = None
    """Amount of money of the call, in USD as decimal text. Null or absent: unknown."""
    client: Annotated[str, Field(pattern=_CLIENT_ID)] | None = None
    """Id of the OAuth client through which the user calls, such as `cli_…`. Null or absent: no client."""


class EvaluateBody(StrictModel):
    """A call for which the policies are evaluated: its principal, action, resource and circumstances."""

    principal: Annotated[str, Field(min_length=1, max_length=PATTERN_MAX)]
    """The caller: `user:usr_…`, `key:key_…` or `role:viewer`. At most 200 characters."""
    action: Annotated[str, Field(min_length=1, max_length=PATTERN_MAX)] = EXECUTE
    """The action, at most 200 characters. Default `execute`."""
    resource: Annotated[str, Field(min_length=1, max_length=PATTERN_MAX)]
    """The resource, such as `route:GET /v1/agents` or `tool:calculator`. At most 200 characters."""
    context: CircumstancesBody = CircumstancesBody()
    """Circumstances of the call. Default: the current time, an unknown address and the tenant's plan."""

    def circumstances(self) -> dict[str, Any]:
        asked = self.context
        return {"at": asked.time, "ip": asked.ip, "plan": asked.plan, "amount": asked.amount, "client": asked.client}


class DecisionAnswer(StrictModel):
    """The result of an evaluation: whether the call would be allowed, the reason, and the policies that apply."""

    allowed: bool
    """Whether the call would be allowed."""
    reason: str
    """Reason for the decision, in one sentence."""
    matched: list[str]
    """Ids of the policies that apply; the first one decides. The platform's policies have ids such as `builtin:…`."""


class PolicyAnswer(StrictModel):
    """An access policy of the tenant: its effect, patterns, conditions and priority."""

    id: str
    """Id of the policy."""
    name: str
    """Name of the policy."""
    effect: Effect
    """Effect of the policy: `allow` or `deny`."""
    principals: list[str]
    """Principals to which the policy applies."""
    actions: list[str]
    """Actions to which the policy applies."""
    resources: list[str]
    """Resources to which the policy applies."""
    conditions: dict[str, Any]
    """When the policy applies. Empty: always."""
    priority: int
    """Order of evaluation; higher values are evaluated first."""
    description: str | None
    """Why the policy exists. Null if there is no description."""
    created_at: str
    """When the policy was created (RFC 3339, UTC)."""
    updated_at: str
    """When the policy was last changed (RFC 3339, UTC)."""


class CheckedPolicy(PolicyAnswer):
    """A created or changed policy, with warnings about patterns that match nothing."""

    warnings: list[str]
    """One sentence for each pattern of this policy that currently matches nothing."""


def read_fields(body: PolicyBody | PolicyPatch) -> dict[str, Any]:
    """Return the fields that were sent, converted to domain types."""
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
