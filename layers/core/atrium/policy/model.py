"""The models of a policy, an access request and a decision."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from atrium.kernel.ids import PolicyId
from atrium.policy.conditions import ALWAYS, Conditions

type Effect = Literal["allow", "deny"]

EXECUTE = "execute"
PRINCIPAL_KINDS = ("tenant", "user", "key", "client", "role", "scope")
RESOURCE_KINDS = ("route", "method", "tool", "model")


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, which allows or denies actions of principals on resources.

    A policy applies to a request if it has a matching principal, action and resource and all its conditions are met.
    `priority` only determines which of several policies with the same effect is named as the reason of a decision. An
    allow policy never overrides a deny policy.
    """

    id: PolicyId
    name: str
    effect: Effect
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    conditions: Conditions = ALWAYS
    priority: int = 0
    description: str = ""

    def rule(self) -> dict[str, Any]:
        """Return the policy's name and rule as JSON values, for responses and audit events."""
        return {
            "name": self.name,
            "effect": self.effect,
            "principals": list(self.principals),
            "actions": list(self.actions),
            "resources": list(self.resources),
            "conditions": self.conditions.model_dump(mode="json", exclude_unset=True),
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The time, IP address, plan and amount of a request. An empty string or None means that the value is unknown."""

    at: datetime
    ip: str = ""
    plan: str = ""
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A request to perform an action on a resource. `subject` contains all names of the caller, such as `user:…`."""

    subject: frozenset[str]
    action: str
    resource: str
    circumstances: Circumstances


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on an access request.

    `matched` contains the ids of the policies that apply: first deny policies, then allow policies, each by descending
    priority.
    """

    allowed: bool
    reason: str
    matched: tuple[str, ...] = ()
