"""Request and response models of `/v1/routing-rules`."""

from typing import Annotated, Any

from atrium.http.fields import UniqueName
from atrium.http.models import StrictModel
from atrium.kernel.clock import format_time
from atrium.routing.model import (
    ALWAYS,
    MODELS_MAX,
    PRIORITY_MAX,
    RoutingConditions,
    RoutingRule,
    RuleStatus,
    WeightedModel,
)
from pydantic import Field

Priority = Annotated[int, Field(ge=-PRIORITY_MAX, le=PRIORITY_MAX)]
Models = Annotated[list[WeightedModel], Field(min_length=1, max_length=MODELS_MAX)]


class RoutingRuleBody(StrictModel):
    """A routing rule to create."""

    name: UniqueName
    """Unique name of the rule in the tenant, 1 to 100 visible characters without `#`. Not `builtin:…`."""
    priority: Priority = 0
    """Order of the rules, -1,000 to 1,000; higher values are tried first. Default 0."""
    when: RoutingConditions = ALWAYS
    """When the rule applies. Default: always."""
    models: Models
    """Models of the rule, 1 to 8, each at most once."""
    status: RuleStatus = "active"
    """`active`, or `disabled` to ignore the rule. Default `active`."""


class RoutingRulePatch(StrictModel):
    """The fields of a routing rule to change. Absent fields are not changed. `when` and `models` are replaced."""

    name: UniqueName = Field(default_factory=str)
    """Unique name of the rule in the tenant, 1 to 100 visible characters without `#`. Not `builtin:…`."""
    priority: Priority = Field(default_factory=int)
    """Order of the rules, -1,000 to 1,000; higher values are tried first."""
    when: RoutingConditions = Field(default_factory=RoutingConditions)
    """When the rule applies. Replaced as a whole; `{}` means always."""
    models: Models = Field(default_factory=list)
    """Models of the rule, 1 to 8, each at most once. Replaced as a whole."""
    status: RuleStatus = Field(default_factory=lambda: "active")
    """`active`, or `disabled` to ignore the rule."""


class RoutingRuleAnswer(StrictModel):
    """A routing rule of the tenant: its priority, conditions and models."""

    id: str
    """Id of the rule."""
    name: str
    """Unique name of the rule in the tenant."""
    priority: int
    """Order of the rules; higher values are tried first."""
    when: dict[str, Any]
    """When the rule applies. Empty: always."""
    models: list[WeightedModel]
    """Models of the rule."""
    status: RuleStatus
    """Whether the rule is used."""
    created_at: str
    """When the rule was created (RFC 3339, UTC)."""
    updated_at: str
    """When the rule was last changed (RFC 3339, UTC)."""


def read_fields(body: RoutingRuleBody | RoutingRulePatch) -> dict[str, Any]:
    """Return the fields that were sent, converted to domain types."""
    fields = {name: getattr(body, name) for name in body.model_fields_set}
    return fields | ({"models": tuple(body.models)} if "models" in fields else {})


def render_rule(rule: RoutingRule) -> RoutingRuleAnswer:
    return RoutingRuleAnswer(
        id=rule.id,
        **{**rule.definition(), "models": list(rule.models)},
        created_at=format_time(rule.created_at),
        updated_at=format_time(rule.updated_at),
    )
