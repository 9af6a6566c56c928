"""Opening a turn: what it will run with, its admission, and the writes that take the session and record the run.

A turn is admitted once its session is free, never while it waits; and one that cannot be opened after all is undone.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from atrium.agent.admitting import Admitter
from atrium.agent.budget import RunBudget
from atrium.agent.busy import BusySession
from atrium.agent.closing import OPENING_GRACE_SECONDS, RunCloser
from atrium.agent.history import as_model_messages, select_history
from atrium.agent.loop import LoopInput
from atrium.agent.model import AgentConfig
from atrium.agent.request import MAX_SECONDS_DEFAULT, TurnRequest
from atrium.agent.resolve import Resolved, Resolver
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.kernel.ids import RunId, mint_message_id, mint_run_id, own_ulid, read_time
from atrium.llm.catalogue import ModelInfo
from atrium.llm.model import ModelProvider, Text
from atrium.quotas.door import OpenTurn
from atrium.quotas.model import AdmissionRequest
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
    """What a turn will run with, but its run."""

    agent: AgentConfig
    model: ModelInfo
    provider: ModelProvider
    budget: RunBudget
    tools: ToolRegistry

    def loop_input(self, run: Run, runs: tuple[Run, ...], context: ToolContext) -> LoopInput:
        """Return what the loop starts from; `runs` are the session's earlier ones, newest first."""
        return LoopInput(
            model=self.model.id,
            system=self.agent.system_prompt,
            history=as_model_messages((*select_history(runs), run.question)),
            max_tokens=min(self.agent.max_tokens, self.model.output_tokens_max),
            temperature=float(self.agent.temperature) if self.agent.temperature is not None else None,
            tools=self.tools,
            context=context,
            max_iterations=self.budget.max_iterations,
            require_done_tool=self.agent.require_done_tool,
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """An open turn: its run, its place among its tenant's turns, what it runs with and under, and its loop's start."""

    run: Run
    slot: OpenTurn
    plan: TurnPlan
    given: LoopInput
    resolved: Resolved


@dataclass(frozen=True, slots=True)
class TurnOpener:
    """Takes the session, admits and records the run."""

    context: TenantContext
    resolver: Resolver
    admitter: Admitter
    sessions: SessionStore
    runs: RunStore
    closer: RunCloser
    clock: Clock
    provider_for: Callable[[ModelInfo], ModelProvider]
    tools: ToolRegistry
    max_seconds: int = MAX_SECONDS_DEFAULT
    pause: Callable[[float], None] = time.sleep

    def open(self, request: TurnRequest, resolved: Resolved, run_id: RunId) -> Opened:
        """Admit a turn and write its beginning; `SessionBusy` when another turn holds the session.

        A failure is undone: what is refused counts nothing.
        """
        plan = self._plan(request, resolved)
        if resolved.session is None:
            return self._in_new_session(request, resolved, plan, run_id)
        return self._in_session(request, resolved, resolved.session, plan, run_id)

    def sketch(self, request: TurnRequest, resolved: Resolved, run_id: RunId) -> AdmissionRequest:
        """Return what a turn would ask of admission now; nothing is written."""
        plan = self._plan(request, resolved)
        run = self._run(request, resolved, run_id, self.clock())
        given = self._given(plan, run, resolved.runs)
        return self.admitter.request_of(run, given, resolved, plan.budget, new_session=resolved.session is None)

    def _plan(self, request: TurnRequest, resolved: Resolved) -> TurnPlan:
        tools = self.tools.choose(resolved.agent.tools)
        if resolved.agent.require_done_tool:
            tools = tools.add(DONE)
        provider = self.provider_for(resolved.model)
        return TurnPlan(resolved.agent, resolved.model, provider, self._budget(request, resolved.agent), tools)

    def _in_new_session(self, request: TurnRequest, resolved: Resolved, plan: TurnPlan, run_id: RunId) -> Opened:
        """Record the run, then its session: after a crash between them the sweeper removes the run without a trace."""
        run = self._run(request, resolved, run_id, self.clock())
        self.admitter.require_message(resolved, 0)
        given = self._given(plan, run, ())
        slot = self.admitter.admit(run, given, resolved, plan.budget, new_session=True)
        run = replace(run, hold=slot.hold)
        with self._undone(run, new_session=True):
            self.runs.open(run)
            self.sessions.create(self._session(request, resolved, run))
        return Opened(run, slot, plan, given, resolved)

    def _in_session(
        self, request: TurnRequest, resolved: Resolved, session: Session, plan: TurnPlan, run_id: RunId
    ) -> Opened:
        """Wait for the session, be admitted, take it, record the run: who holds the session is alone in it."""
        deadline = self.clock() + timedelta(seconds=plan.budget.max_seconds)
        busy = BusySession(request.on_busy, deadline, self.closer, self.runs, self.clock, self.pause)
        while True:
            if session.turn is None:
                self.admitter.require_message(resolved, session.turn_count)
                opened = self._take(self._next_run(request, resolved, session, run_id), session, resolved, plan)
                if opened is not None:
                    return opened
                run_id = mint_run_id(self.clock(), session.id)
            else:
                busy.wait(session)
            resolved = self.resolver.resolve(request)
            session = resolved.session or session

    def _next_run(self, request: TurnRequest, resolved: Resolved, session: Session, run_id: RunId) -> Run:
        """Return the session's next run, whose id must not precede its last one's: a clock may be ahead of ours."""
        now = self.clock()
        if own_ulid(run_id) <= session.last_run_ulid:
            now = max(now, read_time(f"run_{session.last_run_ulid}") + timedelta(milliseconds=1))
            run_id = mint_run_id(now, session.id)
        return self._run(request, resolved, run_id, now)

    def _take(self, run: Run, free: Session, resolved: Resolved, plan: TurnPlan) -> Opened | None:
        """Open a turn in a session that was free a moment ago; if it is not any more, all is undone, and None."""
        given = self._given(plan, run, resolved.runs)
        slot = self.admitter.admit(run, given, resolved, plan.budget, new_session=False)
        run = replace(run, hold=slot.hold)
        with self._undone(run, new_session=False):
            try:
                head = self.sessions.open_turn(
                    free, run.id, now=run.started_at, messages_max=resolved.terms.messages_per_session
                )
            except ConditionFailed:
                self.closer.admissions.release(slot.hold)
                return None
            if head.turn_count != free.turn_count + 1:
                given = self._given(plan, run, self.resolver.read_history(free.id))
            self._record(run)
        return Opened(run, slot, plan, given, resolved)

    def _record(self, run: Run) -> None:
        if self.clock() - run.started_at > timedelta(seconds=_RECORDING_SECONDS_MAX):
            raise Unavailable(internal="the session may have been given back before its run was recorded")
        self.runs.open(run)

    @contextmanager
    def _undone(self, run: Run, *, new_session: bool) -> Iterator[None]:
        """Undo what the block wrote if it fails, as far as the table lets us; the rest is the sweeper's."""
        try:
            yield
        except Exception:
            with suppress(Unavailable):
                self.closer.undo(run, new_session=new_session)
            raise

    def _given(self, plan: TurnPlan, run: Run, runs: tuple[Run, ...]) -> LoopInput:
        return plan.loop_input(run, runs, ToolContext(self.context.tenant_id, run.id, self.clock, run.end_user))

    def _session(self, request: TurnRequest, resolved: Resolved, run: Run) -> Session:
        return Session(
            id=run.session_id,
            owner=self.context.owner,
            title=" ".join(request.message.split())[:_TITLE_CHARACTERS],
            agent_id=resolved.agent.id if request.agent_id else None,
            end_user=request.end_user,
            metadata={},
            message_count=0,
            turn_count=1,
            created_at=run.started_at,
            updated_at=run.started_at,
            last_active_at=run.started_at,
            turn=LiveTurn(run.id, run.started_at),
        )

    def _run(self, request: TurnRequest, resolved: Resolved, run_id: RunId, now: datetime) -> Run:
        return Run(
            id=run_id,
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
