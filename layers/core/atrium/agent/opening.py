"""Opening a turn: what it will run with, and the writes that take the session and record the run."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from atrium.agent.budget import RunBudget
from atrium.agent.busy import BusySession
from atrium.agent.closing import OPENING_GRACE_SECONDS, RunCloser
from atrium.agent.loop import LoopInput
from atrium.agent.model import AgentConfig
from atrium.agent.request import MAX_SECONDS_DEFAULT, TurnRequest
from atrium.agent.resolve import Resolved, Resolver
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.kernel.ids import SessionId, mint_message_id, mint_run_id, mint_session_id
from atrium.llm.catalogue import ModelInfo
from atrium.llm.model import Message as ModelMessage
from atrium.llm.model import ModelProvider, Text
from atrium.runs.model import LEASE_SECONDS, Message, Run
from atrium.runs.store import RunStore
from atrium.sessions.model import LiveTurn, Session
from atrium.sessions.store import SessionStore
from atrium.tenants.context import TenantContext
from atrium.tools.done import DONE
from atrium.tools.model import ToolContext
from atrium.tools.registry import ToolRegistry

_TITLE_CHARACTERS = 60
_RECORDING_SECONDS_MAX = OPENING_GRACE_SECONDS / 6  # the write itself may take another 50 with all its retries


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """What a turn will run with."""

    agent: AgentConfig
    model: ModelInfo
    provider: ModelProvider
    budget: RunBudget
    tools: ToolRegistry
    context: ToolContext

    def loop_input(self, history: tuple[ModelMessage, ...]) -> LoopInput:
        return LoopInput(
            model=self.model.id,
            system=self.agent.system_prompt,
            history=history,
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
    pause: Callable[[float], None] = time.sleep

    def open(self, request: TurnRequest, resolved: Resolved) -> Opened:
        """Write the turn's beginning; `SessionBusy` when another turn holds the session. A failure is undone."""
        provider = self.provider_for(resolved.model)
        budget = self._budget(request, resolved.agent)
        earlier: tuple[Run, ...] = ()
        if resolved.session is None:
            run = self._in_new_session(request, resolved)
        else:
            run, earlier = self._in_session(request, resolved, resolved.session, budget)
        tools = self.tools.choose(resolved.agent.tools)
        if resolved.agent.require_done_tool:
            tools = tools.add(DONE)
        context = ToolContext(self.context.tenant_id, run.id, self.clock, run.end_user)
        return Opened(run, TurnPlan(resolved.agent, resolved.model, provider, budget, tools, context), earlier)

    def _in_new_session(self, request: TurnRequest, resolved: Resolved) -> Run:
        """Record the run, then its session: after a crash between them the sweeper removes the run without a trace."""
        now = self.clock()
        session_id = mint_session_id(now)
        run = self._run(request, resolved, session_id, now)
        session = Session(
            id=session_id,
            owner=self.context.owner,
            title=" ".join(request.message.split())[:_TITLE_CHARACTERS],
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
        with self._undone(run, new_session=True):
            self.runs.open(run)
            self.sessions.create(session)
        return run

    def _in_session(
        self, request: TurnRequest, resolved: Resolved, session: Session, budget: RunBudget
    ) -> tuple[Run, tuple[Run, ...]]:
        """Take the session, then record the run: who holds the session is alone in it."""
        deadline = self.clock() + timedelta(seconds=budget.max_seconds)
        busy = BusySession(request.on_busy, deadline, self.closer, self.runs, self.clock, self.pause)
        not_before: datetime | None = None
        while True:
            now = self.clock()
            run = self._run(request, resolved, session.id, max(now, not_before or now))
            with self._undone(run, new_session=False):
                try:
                    head = self.sessions.open_turn(session.id, run.id, now=run.started_at)
                except ConditionFailed as error:
                    refused = error
                else:
                    return run, self._record(run, session, head, resolved.runs)
            not_before = busy.make_way(refused)

    def _record(self, run: Run, before: Session, head: Session, read: tuple[Run, ...]) -> tuple[Run, ...]:
        """Record a run that holds its session; return the session's earlier runs, read again if others came between."""
        undisturbed = head.turn_count == before.turn_count + 1 and before.turn is None
        earlier = read if undisturbed else self.resolver.read_history(before.id)
        if self.clock() - run.started_at > timedelta(seconds=_RECORDING_SECONDS_MAX):
            raise Unavailable(internal="the session may have been given back before its run was recorded")
        self.runs.open(run)
        return earlier

    @contextmanager
    def _undone(self, run: Run, *, new_session: bool) -> Iterator[None]:
        """Undo what the block wrote if it fails, as far as the table lets us; the rest is the sweeper's."""
        try:
            yield
        except Exception:
            with suppress(Unavailable):
                self.closer.undo(run, new_session=new_session)
            raise

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
