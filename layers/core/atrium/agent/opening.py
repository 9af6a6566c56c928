"""Opening a turn: what it will run with, and the writes that take the session and record the run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from atrium.agent.budget import RunBudget
from atrium.agent.closing import RunCloser
from atrium.agent.loop import LoopInput, as_model_messages
from atrium.agent.model import AgentConfig
from atrium.agent.request import MAX_SECONDS_DEFAULT, TurnRequest
from atrium.agent.resolve import Resolved, Resolver
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed, NotFound, SessionBusy
from atrium.kernel.ids import SessionId, mint_message_id, mint_run_id, mint_session_id, read_time
from atrium.llm.catalogue import ModelInfo
from atrium.llm.model import ModelProvider, Text
from atrium.runs.model import LEASE_SECONDS, Message, Run
from atrium.runs.store import RunStore
from atrium.sessions.model import LiveTurn, Session
from atrium.sessions.store import SessionStore, read_session
from atrium.tenants.context import TenantContext
from atrium.tools.done import DONE
from atrium.tools.model import ToolContext
from atrium.tools.registry import ToolRegistry

_POLL_SECONDS = 0.5
_TITLE_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """What a turn will run with."""

    agent: AgentConfig
    model: ModelInfo
    provider: ModelProvider
    budget: RunBudget
    tools: ToolRegistry
    context: ToolContext

    def loop_input(self, history: tuple[Message, ...]) -> LoopInput:
        return LoopInput(
            model=self.model.id,
            system=self.agent.system_prompt,
            history=as_model_messages(history),
            max_tokens=min(self.agent.max_tokens, self.model.output_tokens_max),
            temperature=float(self.agent.temperature) if self.agent.temperature is not None else None,
            tools=self.tools,
            context=self.context,
            budget=self.budget,
            require_done_tool=self.agent.require_done_tool,
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """An open turn: its run, what it runs with, and the session's earlier runs, newest first."""

    run: Run
    plan: TurnPlan
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class TurnOpener:
    """Takes the session and records the run."""

    context: TenantContext
    resolver: Resolver
    sessions: SessionStore
    runs: RunStore
    closer: RunCloser
    clock: Clock
    provider_for: Callable[[ModelInfo], ModelProvider]
    tools: ToolRegistry
    max_seconds: int = MAX_SECONDS_DEFAULT

    def open(self, request: TurnRequest, resolved: Resolved) -> Opened:
        """Write the turn's beginning; `SessionBusy` when another turn holds the session."""
        provider = self.provider_for(resolved.model)
        budget = self._budget(request, resolved.agent)
        earlier: tuple[Run, ...] = ()
        if resolved.session is None:
            run = self._in_new_session(request, resolved)
        else:
            run, earlier = self._in_session(request, resolved, resolved.session, budget)
        self.runs.open(run)
        tools = self.tools.choose(resolved.agent.tools)
        if resolved.agent.require_done_tool:
            tools = tools.add(DONE)
        context = ToolContext(self.context.tenant_id, run.id, run.started_at)
        return Opened(run, TurnPlan(resolved.agent, resolved.model, provider, budget, tools, context), earlier)

    def _in_new_session(self, request: TurnRequest, resolved: Resolved) -> Run:
        now = self.clock()
        session_id = mint_session_id(now)
        run = self._run(request, resolved, session_id, now)
        title = " ".join(request.message.split())[:_TITLE_CHARACTERS]
        self.sessions.create(
            Session(
                id=session_id,
                owner=self.context.owner,
                title=title,
                agent_id=resolved.agent.id if request.agent_id else None,
                end_user=request.end_user,
                metadata={},
                message_count=0,
                turn_count=1,
                created_at=now,
                updated_at=now,
                last_active_at=now,
                turn=LiveTurn(run.id, now),
            )
        )
        return run

    def _in_session(
        self, request: TurnRequest, resolved: Resolved, session: Session, budget: RunBudget
    ) -> tuple[Run, tuple[Run, ...]]:
        deadline = time.monotonic() + budget.max_seconds
        after: datetime | None = None
        while True:
            now = max(self.clock(), after) if after else self.clock()
            run = self._run(request, resolved, session.id, now)
            try:
                head = self.sessions.open_turn(session.id, run.id, now=now)
            except ConditionFailed as error:
                after = self._make_way(request, error, deadline)
                continue
            undisturbed = head.turn_count == session.turn_count + 1 and session.turn is None
            earlier = resolved.runs if undisturbed else self.resolver.read_history(session.id)
            return run, earlier

    def _make_way(self, request: TurnRequest, error: ConditionFailed, deadline: float) -> datetime | None:
        """Deal with a session that could not be taken; returns a time that the next run id must not precede."""
        if error.item is None or "deleted" in error.item:
            raise NotFound("there is no such session") from error
        head = read_session(error.item)
        if head.turn is None:
            return read_time(f"run_{head.last_run_ulid}") + timedelta(milliseconds=1)
        if self.closer.release_stale(head.id):
            return None
        if request.on_busy == "reject" or time.monotonic() >= deadline:
            raise SessionBusy(retry_after_seconds=1) from error
        if request.on_busy == "interrupt":
            self.runs.request_cancel(head.turn.run_id)
        time.sleep(_POLL_SECONDS)
        return None

    def _run(self, request: TurnRequest, resolved: Resolved, session_id: SessionId, now: datetime) -> Run:
        return Run(
            id=mint_run_id(now, session_id),
            owner=self.context.owner,
            agent_id=resolved.agent.id,
            provider=resolved.model.vendor,
            model=resolved.model.id,
            status="running",
            question=Message(mint_message_id(now), "user", (Text(request.message),), now),
            started_at=now,
            lease_until=now + timedelta(seconds=LEASE_SECONDS),
            end_user=request.end_user,
            metadata=request.metadata,
        )

    def _budget(self, request: TurnRequest, agent: AgentConfig) -> RunBudget:
        limits = request.limits
        return RunBudget(
            max_iterations=min(agent.max_iterations, limits.max_iterations or agent.max_iterations),
            max_seconds=min(self.max_seconds, limits.max_seconds or self.max_seconds),
            max_cost_nanos=limits.max_cost_nanos,
            max_tokens=limits.max_tokens,
        )
