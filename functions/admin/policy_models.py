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
    effect: Effect
    principals: PatternList
    actions: PatternList
    resources: PatternList
    conditions: Conditions = ALWAYS
    priority: Priority = 0
    description: OrNone[Description] = None


class PolicyPatch(StrictModel):
    """Any part of a policy; what is absent stays. `conditions` are replaced as a whole."""

    name: Name = Field(default_factory=str)
    effect: Effect = Field(default_factory=lambda: "deny")
    principals: PatternList = Field(default_factory=list)
    actions: PatternList = Field(default_factory=list)
    resources: PatternList = Field(default_factory=list)
    conditions: Conditions = Field(default_factory=Conditions)
    priority: Priority = Field(default_factory=int)
    description: OrNone[Description] = None


class CircumstancesBody(StrictModel):
    """When, from where, in which plan, about how much, and through which OAuth client a user calls.

    What is absent is now, unknown, the tenant's, unknown, and none.
    """

    time: Timestamp | None = None
    ip: Address | None = None
    plan: PlanName | None = None
    amount: Amount | None = None
    client: Annotated[str, Field(pattern=_CLIENT_ID)] | None = None


class EvaluateBody(StrictModel):
    """A question: may this principal (`user:usr_…`, `key:key_…`, `role:viewer`) do this to that resource?"""

    principal: Annotated[str, Field(min_length=1, max_length=PATTERN_MAX)]
    action: Annotated[str, Field(min_length=1, max_length=PATTERN_MAX)] = EXECUTE
    resource: Annotated[str, Field(min_length=1, max_length=PATTERN_MAX)]
    context: CircumstancesBody = CircumstancesBody()

    def circumstances(self) -> dict[str, Any]:
        asked = self.context
        return {"at": asked.time, "ip": asked.ip, "plan": asked.plan, "amount": asked.amount, "client": asked.client}


class DecisionAnswer(StrictModel):
    """The answer; `matched` are the policies that hold, the one that decides first. `builtin:…` are the platform's."""

    allowed: bool
    reason: str
    matched: list[str]


class PolicyAnswer(StrictModel):
    """A policy as it is now."""

    id: str
    name: str
    effect: Effect
    principals: list[str]
    actions: list[str]
    resources: list[str]
    conditions: dict[str, Any]
    priority: int
    description: str | None
    created_at: str
    updated_at: str


class CheckedPolicy(PolicyAnswer):
    """A policy that was just set. `warnings` are about patterns that match nothing at present."""

    warnings: list[str]


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
