"""An agent's configuration, and the defaults and bounds of its fields (A2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from atrium.kernel.ids import AgentId

type CompactionProfile = Literal["customer_service", "coding", "data_analysis"]

MAX_TOKENS_DEFAULT = 4_096
MAX_ITERATIONS_DEFAULT = 20
MAX_ITERATIONS_MAX = 100


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """How an agent answers. `tools` names tools of the registry; `temperature` only where the model takes one."""

    id: AgentId
    name: str
    provider: str
    model: str
    created_at: datetime
    updated_at: datetime
    description: str = ""
    system_prompt: str = ""
    tools: tuple[str, ...] = ()
    max_tokens: int = MAX_TOKENS_DEFAULT
    temperature: Decimal | None = None
    max_iterations: int = MAX_ITERATIONS_DEFAULT
    require_done_tool: bool = False
    compaction_profile: CompactionProfile | None = None
    knowledge: tuple[str, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
