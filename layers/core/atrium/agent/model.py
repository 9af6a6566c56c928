"""An agent's configuration and the request of a turn, with the defaults and bounds of their fields."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from atrium.context.conversation import HISTORY_MESSAGES_MAX, HISTORY_TOKENS_MAX
from atrium.context.profiles import CompactionProfile
from atrium.kernel.ids import AgentId
from atrium.llm.model import Content
from atrium.prompts.model import PromptReference
from atrium.tenants.plans import PLANS

MAX_TOKENS_DEFAULT = 4_096
MAX_ITERATIONS_DEFAULT = 20
MAX_ITERATIONS_MAX = 100

AUTO_MODEL = "auto"
"""The model of an agent or a request whose turns are routed (`atrium.routing`)."""

type Injection = Literal["todo", "limits", "preferences"]

INJECTIONS: tuple[Injection, ...] = ("todo", "limits", "preferences")
"""What the platform adds to the model requests of an agent (`context.reminders`, `agent.instructions`)."""

type OnBusy = Literal["reject", "queue", "interrupt"]

MESSAGE_CHARACTERS_MAX = max(plan.message_characters for plan in PLANS.values())
"""The largest of the plans' limits. Each plan has its own limit."""
MAX_SECONDS_DEFAULT = 280


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """The configuration of an agent. `tools` contains names of tools in the registry.

    `temperature` requires a model that accepts it. If `model` fails, `fallback_models`, then `fallback_text` are used.
    A person must approve each call of the tools in `require_approval`. An agent has `system_prompt` or `prompt`.
    """

    id: AgentId
    name: str
    provider: str
    model: str
    created_at: datetime
    updated_at: datetime
    description: str = ""
    system_prompt: str = ""
    prompt: PromptReference | None = None
    injections: tuple[Injection, ...] = INJECTIONS
    tools: tuple[str, ...] = ()
    max_tokens: int = MAX_TOKENS_DEFAULT
    temperature: Decimal | None = None
    max_iterations: int = MAX_ITERATIONS_DEFAULT
    require_done_tool: bool = False
    compaction_profile: CompactionProfile | None = None
    max_history_messages: int = HISTORY_MESSAGES_MAX
    max_history_tokens: int = HISTORY_TOKENS_MAX
    knowledge: tuple[str, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    fallback_models: tuple[str, ...] = ()
    fallback_text: str = ""
    require_approval: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Limits that the caller sets for one run. None means that the limit of the agent or the platform applies."""

    max_cost_nanos: int | None = None
    max_tokens: int | None = None
    max_iterations: int | None = None
    max_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One user message. Without `session_id` a new session is created. `on_busy` applies while another turn runs."""

    message: Content
    session_id: str | None = None
    agent_id: str | None = None
    provider: str | None = None
    model: str | None = None
    limits: RunLimits = field(default_factory=RunLimits)
    on_busy: OnBusy = "reject"
    end_user: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
