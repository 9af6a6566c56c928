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
    """A policy: its principals, actions and resources (one of each must match), conditions and effect.

    `priority` only orders policies of the same effect for the reason of a decision. An allow never overrides a deny.
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
        """Return the name and the rule as JSON values, for responses and audit events."""
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
    """The time, address, plan and amount of a request. Empty and None mean unknown."""

    at: datetime
    ip: str = ""
    plan: str = ""
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A request to decide. `subject` contains all names of the caller: `user:…`, `tenant:…`, `role:…`."""

    subject: frozenset[str]
    action: str
    resource: str
    circumstances: Circumstances


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on an access request.

    `matched` contains the policies that apply: the deciding policies first, then by descending priority.
    """

    allowed: bool
    reason: str
    matched: tuple[str, ...] = ()
