"""An agent's configuration, the request of a turn and the input of the loop, with defaults and bounds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from atrium.context.caller import CallerOptions
from atrium.context.conversation import HISTORY_MESSAGES_MAX, HISTORY_TOKENS_MAX, Conversation
from atrium.context.profiles import CompactionProfile
from atrium.context.reminders import Reminders
from atrium.kernel.ids import AgentId
from atrium.llm.model import Block, ModelMessage
from atrium.prompts.model import PromptReference
from atrium.tenants.plans import PLANS
from atrium.tools.model import ToolContext
from atrium.tools.registry import ToolRegistry

MAX_TOKENS_DEFAULT = 4_096
MAX_ITERATIONS_DEFAULT = 20
MAX_ITERATIONS_MAX = 100

AUTO_MODEL = "auto"
"""The model of an agent or a request whose turns are routed (`atrium.routing`)."""

type Injection = Literal["todo", "limits", "preferences"]

INJECTIONS: tuple[Injection, ...] = ("todo", "limits", "preferences")
"""What the platform adds to the model requests of an agent (`context.reminders`, `prompts.instructions`)."""

type OnBusy = Literal["reject", "queue", "interrupt"]

MESSAGE_CHARACTERS_MAX = max(plan.message_characters for plan in PLANS.values())
"""The largest of the plans' limits. Each plan has its own limit."""
MAX_SECONDS_DEFAULT = 280
BARE_MAX_TOKENS_DEFAULT = 16_384
"""Maximum output tokens of a turn without an agent, if its caller sets none."""


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


def bare_agent(model: str, now: datetime) -> AgentConfig:
    """Return the configuration of a turn without an agent. Its id is empty."""
    return AgentConfig(AgentId(""), "", "", model, now, now, max_tokens=BARE_MAX_TOKENS_DEFAULT, injections=())


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Limits that the caller sets for one run. None means that the limit of the agent or the platform applies."""

    max_cost_nanos: int | None = None
    max_tokens: int | None = None
    max_iterations: int | None = None
    max_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One user message. Without `session_id` a new session is created. `on_busy` applies while another turn runs.

    A request of a vendor-compatible endpoint has a `caller`. Without `session_id`, its turn belongs to no session, and
    without `agent_id` or `agent_name`, no agent takes part, only `model`. Its message may have tool results.
    """

    message: tuple[Block, ...]
    session_id: str | None = None
    agent_id: str | None = None
    provider: str | None = None
    model: str | None = None
    limits: RunLimits = field(default_factory=RunLimits)
    on_busy: OnBusy = "reject"
    end_user: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    caller: CallerOptions | None = None
    agent_name: str | None = None


@dataclass(frozen=True, slots=True)
class LoopInput:
    """The input of the agent loop. `history` ends with the user's message, `conversation` is what came before.

    `fallbacks` are tried if `model` fails. If all fail, `fallback_text` is the answer; with "" the error is raised.
    """

    model: str
    system: str
    history: tuple[ModelMessage, ...]
    max_tokens: int
    temperature: float | None
    tools: ToolRegistry
    context: ToolContext
    max_iterations: int
    require_done_tool: bool = False
    fallbacks: tuple[str, ...] = ()
    fallback_text: str = ""
    approvals: frozenset[str] = frozenset()
    caller: CallerOptions | None = None
    conversation: Conversation = field(default_factory=Conversation)
    reminders: Reminders | None = None
