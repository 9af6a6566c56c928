"""A routing rule: its conditions, its models, and the rules that are shipped."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from atrium.kernel.errors import named_pattern
from atrium.kernel.ids import RoutingRuleId
from atrium.llm.catalogue import MODELS, ModelSize
from atrium.policy.conditions import ZONE_MAX, Day, check_zone
from atrium.tenants.plans import PlanName

type Complexity = Literal["low", "medium", "high"]
type RuleStatus = Literal["active", "disabled"]

RULES_MAX = 50
MODELS_MAX = 8
WEIGHT_MAX = 1_000
PRIORITY_MAX = 1_000
PROMPT_TOKENS_MAX = 10_000_000
SHIPPED_PREFIX = "builtin:"
"""The names of the shipped rules begin with this text, and those of a tenant must not."""

_FROM = named_pattern(r"^([01][0-9]|2[0-3]):[0-5][0-9]$", "must be a time from 00:00 to 23:59, such as `09:30`")
_TO = named_pattern(r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", "must be a time from 00:00 to 24:00, such as `17:30`")


class _Shape(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class RoutingHours(_Shape):
    """Hours of the day in a time zone."""

    start: str = Field(alias="from", pattern=_FROM)
    """First minute when the rule applies, such as `09:00`. Inclusive."""
    end: str = Field(alias="to", pattern=_TO)
    """Minute when the rule stops applying, such as `17:30`, at most `24:00`. Exclusive. If it is earlier than `from`,
    the hours continue after midnight.
    """
    time_zone: Annotated[str, Field(max_length=ZONE_MAX), AfterValidator(check_zone)] = "UTC"
    """IANA time zone for the hours and for `weekdays`, at most 64 characters. Default `UTC`."""

    @model_validator(mode="after")
    def _check_range(self) -> "RoutingHours":
        if self.start == self.end:
            raise ValueError("`from` and `to` must differ")
        return self


class RoutingConditions(_Shape):
    """The conditions of a routing rule, all of which must be met. Without conditions, the rule always applies."""

    complexity: Complexity | None = None
    """Complexity of the message: `low`, `medium` or `high`. Null or absent: any."""
    needs_code: bool | None = None
    """Whether the message is about code. Null or absent: either."""
    prompt_tokens_min: Annotated[int, Field(ge=0, le=PROMPT_TOKENS_MAX)] | None = None
    """Smallest estimated prompt in tokens, 0 to 10,000,000, inclusive. Null or absent: no minimum."""
    prompt_tokens_max: Annotated[int, Field(ge=0, le=PROMPT_TOKENS_MAX)] | None = None
    """Largest estimated prompt in tokens, 0 to 10,000,000, inclusive. Null or absent: no maximum."""
    plans: Annotated[list[PlanName], Field(min_length=1, max_length=4)] | None = None
    """Plans of the tenant to which the rule applies, 1 to 4. Null or absent: any plan."""
    hours: RoutingHours | None = None
    """Hours of the day when the rule applies. Null or absent: all day."""
    weekdays: Annotated[list[Day], Field(min_length=1, max_length=7)] | None = None
    """Days of the week when the rule applies, 1 to 7, in the time zone of `hours`, or in UTC without `hours`. Null or
    absent: every day.
    """

    @model_validator(mode="after")
    def _check_bounds(self) -> "RoutingConditions":
        low, high = self.prompt_tokens_min, self.prompt_tokens_max
        if low is not None and high is not None and low > high:
            raise ValueError("`prompt_tokens_min` must not be above `prompt_tokens_max`")
        return self


class WeightedModel(_Shape):
    """A model of a routing rule."""

    model: Annotated[str, Field(min_length=1, max_length=128)]
    """Model id, at most 128 characters."""
    weight: Annotated[int, Field(ge=1, le=WEIGHT_MAX)] | None = None
    """Weight of the model in the draw, 1 to 1,000. Null or absent: 1000 / measured latency in ms."""


ALWAYS = RoutingConditions()


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """A rule, which chooses one of its models for the turns that meet its conditions. `version` counts its changes."""

    id: RoutingRuleId
    name: str
    models: tuple[WeightedModel, ...]
    created_at: datetime
    updated_at: datetime
    priority: int = 0
    when: RoutingConditions = ALWAYS
    status: RuleStatus = "active"
    version: int = 1

    def definition(self) -> dict[str, Any]:
        """Return the rule as JSON values, for responses, items and audit events."""
        return {
            "name": self.name,
            "priority": self.priority,
            "when": self.when.model_dump(mode="json", exclude_none=True),
            "models": [each.model_dump(mode="json") for each in self.models],
            "status": self.status,
        }


def _shipped() -> Iterator[RoutingRule]:
    sizes: tuple[tuple[ModelSize, int, RoutingConditions], ...] = (
        ("large", 10, RoutingConditions(complexity="high")),
        ("medium", 5, RoutingConditions(needs_code=True)),
        ("small", 0, ALWAYS),
    )
    for size, priority, when in sizes:
        models = tuple(WeightedModel(model=model.id) for model in MODELS.values() if model.size == size)
        shipped = datetime(2026, 11, 1, tzinfo=UTC)
        yield RoutingRule(RoutingRuleId(""), f"{SHIPPED_PREFIX}{size}", models, shipped, shipped, priority, when)


SHIPPED = tuple(_shipped())
"""The rules of every tenant: high complexity to the large models, code to the medium ones, all else to the small ones.
"""
