"""What a turn is asked to do, already validated in shape."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from atrium.tenants.plans import PLANS

type OnBusy = Literal["reject", "queue", "interrupt"]

MESSAGE_CHARACTERS_MAX = max(plan.message_characters for plan in PLANS.values())
"""Of the largest plan; each plan has its own bound."""
MAX_SECONDS_DEFAULT = 280


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Bounds that the caller sets on one run; None leaves the agent's or the platform's."""

    max_cost_nanos: int | None = None
    max_tokens: int | None = None
    max_iterations: int | None = None
    max_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One user message. Without `session_id` a new session is made; `on_busy` is about a turn already running there."""

    message: str
    session_id: str | None = None
    agent_id: str | None = None
    provider: str | None = None
    model: str | None = None
    limits: RunLimits = field(default_factory=RunLimits)
    on_busy: OnBusy = "reject"
    end_user: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
