"""A policy, a request for access, and the decision on it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from atrium.kernel.ids import PolicyId
from atrium.policy.conditions import ALWAYS, Conditions

type Effect = Literal["allow", "deny"]

EXECUTE = "execute"
PRINCIPAL_KINDS = ("tenant", "user", "key", "client", "role", "scope")
RESOURCE_KINDS = ("route", "method", "tool", "model")


@dataclass(frozen=True, slots=True)
class Policy:
    """Who (any of `principals`) may, or may not, do what (any of `actions`) to what (any of `resources`), and when.

    `priority` orders policies of one effect: the highest is named as the reason. It never lets an allow pass a deny.
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


@dataclass(frozen=True, slots=True)
class Circumstances:
    """When, from where, under which plan, about how much. Empty and None mean that it is not known."""

    at: datetime
    ip: str = ""
    plan: str = ""
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A question to the engine. `subject` is every name that the caller answers to: `user:…`, `tenant:…`, `role:…`."""

    subject: frozenset[str]
    action: str
    resource: str
    circumstances: Circumstances


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer; `matched` has the policies that hold, those that decided first, of the highest priority first."""

    allowed: bool
    reason: str
    matched: tuple[str, ...] = ()
