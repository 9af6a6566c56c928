"""The order of routing rules, and whether the conditions of a rule are met."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import get_args

from atrium.kernel.clock import to_zone
from atrium.policy.conditions import Day, read_zone
from atrium.routing.classifier import MessageTraits, classify
from atrium.routing.model import SHIPPED, RoutingConditions, RoutingHours, RoutingRule
from atrium.tenants.plans import PlanName

_DAYS: tuple[Day, ...] = get_args(Day.__value__)


@dataclass(frozen=True)
class RoutedMessage:
    """A message and its circumstances. The message is classified, and its prompt counted, when a rule needs it.

    `session_id` is None in a new session. `own_keys` are the providers for which the tenant has an API key of its own.
    """

    text: str
    plan: PlanName
    at: datetime
    count_prompt_tokens: Callable[[], int] = field(compare=False)
    session_id: str | None = None
    tenant_id: str = ""
    own_keys: frozenset[str] = frozenset()

    @cached_property
    def traits(self) -> MessageTraits:
        return classify(self.text)

    @cached_property
    def prompt_tokens(self) -> int:
        return self.count_prompt_tokens()


def order_rules(own: Iterable[RoutingRule]) -> tuple[RoutingRule, ...]:
    """Return the active rules of a tenant and the shipped rules, in the order in which they are tried."""
    active = sorted((rule for rule in own if rule.status == "active"), key=lambda rule: rule.id)
    return tuple(sorted((*active, *SHIPPED), key=lambda rule: -rule.priority))


def explain_match(when: RoutingConditions, message: RoutedMessage) -> str | None:
    """Return which conditions are met, as one phrase, or None if one is not met."""
    met = []
    for phrase in _judge(when, message):
        if phrase is None:
            return None
        met.append(phrase)
    return ", ".join(met) or "no conditions"


def _judge(when: RoutingConditions, message: RoutedMessage) -> Iterator[str | None]:
    """Yield a phrase for each given condition, or None if it is not met. Conditions that cost more come last."""
    if when.plans is not None:
        yield f"plan {message.plan}" if message.plan in when.plans else None
    if when.weekdays is not None:
        day = _DAYS[_local(when.hours, message.at).weekday()]
        yield f"weekday {day}" if day in when.weekdays else None
    if when.hours is not None:
        yield f"hours {when.hours.start} to {when.hours.end}" if _contains(when.hours, message.at) else None
    if when.complexity is not None:
        yield f"complexity {when.complexity}" if message.traits.complexity == when.complexity else None
    if when.needs_code is not None:
        shown = "about code" if when.needs_code else "not about code"
        yield shown if message.traits.needs_code == when.needs_code else None
    low, high = when.prompt_tokens_min, when.prompt_tokens_max
    if low is not None or high is not None:
        is_met = (low or 0) <= message.prompt_tokens and (high is None or message.prompt_tokens <= high)
        yield f"about {message.prompt_tokens} prompt tokens" if is_met else None


def _local(hours: RoutingHours | None, at: datetime) -> datetime:
    return to_zone(at, read_zone(hours.time_zone if hours else "UTC"))


def _contains(hours: RoutingHours, at: datetime) -> bool:
    local = f"{_local(hours, at):%H:%M}"
    if hours.start < hours.end:
        return hours.start <= local < hours.end
    return local >= hours.start or local < hours.end
