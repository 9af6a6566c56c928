"""An agent loop without a turn: a scripted model, test tools, and a stop signal."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from atrium.agent.loop import AgentLoop
from atrium.agent.model import LoopInput
from atrium.kernel.clock import Clock
from atrium.kernel.ids import RunId, TenantId
from atrium.llm.model import ModelMessage, Text
from atrium.runs.heartbeat import StopSignal
from atrium.runs.model import (
    ApprovalRequiredEvent,
    LoopEvent,
    RunBudget,
    TextEvent,
    ThinkingEvent,
    ToolCallEvent,
    ToolResultEvent,
)
from atrium.sdk.agent import BudgetAllowance
from atrium.tools.model import Tool, ToolContext, ToolServices
from atrium.tools.registry import BUILT_IN, ToolRegistry
from pydantic import BaseModel

from tests.builders.runtimes import TurnedClock
from tests.builders.scripted import ScriptedModel
from tests.builders.tenant_env import TENANT

MODEL = "claude-haiku-5-5"


class NoArguments(BaseModel):
    """The arguments of a tool without parameters."""


def tool(name: str, run: Callable[[], str], *, timeout_seconds: int = 30) -> Tool[NoArguments]:
    return Tool(name, "For tests.", "tests", NoArguments, lambda _a, _c: run(), timeout_seconds=timeout_seconds)


def tool_context(
    clock: Clock | None = None,
    *,
    tenant: TenantId = TENANT,
    run_id: str = "run_1",
    end_user: str = "",
    services: ToolServices | None = None,
) -> ToolContext:
    """Return the context of a tool call. All tests create the context with this function."""
    return ToolContext(tenant, RunId(run_id), clock or TurnedClock(), end_user, services=services)


@dataclass
class LoopBench:
    """The dependencies of one agent loop."""

    model: ScriptedModel = field(default_factory=ScriptedModel)
    tools: ToolRegistry = field(default_factory=lambda: ToolRegistry(BUILT_IN))
    signal: StopSignal = field(default_factory=StopSignal)
    clock: TurnedClock = field(default_factory=TurnedClock)

    def loop(
        self,
        *,
        require_done_tool: bool = False,
        max_iterations: int = 20,
        max_cost_nanos: int | None = None,
        max_tokens: int | None = None,
        answer_tokens: int = 4_096,
    ) -> AgentLoop:
        given = LoopInput(
            model=MODEL,
            system="Be brief.",
            history=(ModelMessage("user", (Text("Hi"),)),),
            max_tokens=answer_tokens,
            temperature=None,
            tools=self.tools,
            context=tool_context(self.clock),
            max_iterations=max_iterations,
            require_done_tool=require_done_tool,
        )
        allowance = BudgetAllowance(RunBudget(max_iterations, 280, max_cost_nanos, max_tokens), self.clock)
        return AgentLoop(given, allowance, self.model, self.signal, self.clock, time.monotonic() + 280)


def show(event: LoopEvent) -> str:
    """Return a short text for an event, such as `calculator=42`."""
    match event:
        case TextEvent(text):
            return text
        case ThinkingEvent(text):
            return f"({text})"
        case ToolCallEvent(call):
            return f"{call.name}?"
        case ApprovalRequiredEvent(call):
            return f"{call.name}…"
        case ToolResultEvent(call, answer):
            return f"{call.name}!" if answer.is_error else f"{call.name}={answer.content}"
