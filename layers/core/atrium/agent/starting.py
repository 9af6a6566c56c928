"""Starts a turn: waits for the session, admits the turn, acquires the session and records the run."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from atrium.agent.admission import RunAllowance, TurnAdmission
from atrium.agent.context import TurnContext, TurnContextReader
from atrium.agent.loop import build_request
from atrium.agent.model import MAX_SECONDS_DEFAULT, AgentConfig, LoopInput, OnBusy, TurnRequest
from atrium.context.caller import CallerOptions
from atrium.context.conversation import Conversation, RecentRuns, as_model_messages, open_conversation, outputs_kept
from atrium.context.profiles import PROFILES
from atrium.context.reminders import Reminders
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed, LimitReached, NotFound, ProviderUnsupported, SessionBusy, Unavailable
from atrium.kernel.ids import RunId, is_stateless, mint_message_id, mint_run_id, own_ulid, read_time
from atrium.kernel.texts import clean
from atrium.llm.catalogue import ModelInfo, check_options
from atrium.llm.model import ModelProvider, ModelRequest, texts_of
from atrium.llm.tokens import estimate_prompt_tokens
from atrium.quotas.model import Admitted, Rejected
from atrium.runs.model import RUN_LEASE_SECONDS, Message, Routing, Run, RunBudget
from atrium.runs.store import RunStore
from atrium.sessions.finalizing import OPENING_GRACE_SECONDS, RunFinalizer
from atrium.sessions.model import LiveTurn, Session
from atrium.sessions.store import SessionStore
from atrium.tenants.context import TenantContext
from atrium.tools.done import DONE
from atrium.tools.http.service import HttpToolCache
from atrium.tools.model import ToolContext, ToolServices
from atrium.tools.registry import ToolRegistry

POLL_SECONDS = 0.5
_TITLE_CHARACTERS = 60
_RECORDING_SECONDS_MAX = OPENING_GRACE_SECONDS / 6  # the write may take another 50 s with all its retries


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """The parameters of a turn: agent, model, provider, budget and tools."""

    agent: AgentConfig
    model: ModelInfo
    provider: ModelProvider
    budget: RunBudget
    tools: ToolRegistry
    fallbacks: tuple[ModelInfo, ...] = ()
    routing: Routing | None = None
    own_keys: frozenset[str] = frozenset()
    caller: CallerOptions | None = None

    def loop_input(self, run: Run, runs: RecentRuns, context: ToolContext) -> LoopInput:
        """Return the input of the loop. `runs` are the session's earlier runs."""
        asked = self.caller.bound(self.agent.id, self.agent.max_tokens) if self.caller else self.agent.max_tokens
        loop_input = LoopInput(
            model=self.model.id,
            system=self.agent.system_prompt,
            history=(*(self.caller.dialog if self.caller else ()), *as_model_messages((run.question,))),
            max_tokens=min(asked, self.model.output_tokens_max),
            temperature=float(self.agent.temperature) if self.agent.temperature is not None else None,
            tools=self.tools,
            context=context,
            max_iterations=self.budget.max_iterations,
            require_done_tool=self.agent.require_done_tool,
            fallbacks=tuple(model.id for model in self.fallbacks),
            fallback_text=self.agent.fallback_text,
            approvals=frozenset(self.agent.require_approval) | self.tools.approvals,
            caller=self.caller,
            # Thinking is bound to a reminder, so a later call that restores this turn's thinking could not send it.
            reminders=None if self.caller else Reminders(self.budget, frozenset(self.agent.injections)),
        )
        return replace(loop_input, conversation=open_conversation(runs, self._limits(build_request(loop_input))))

    def _limits(self, alone: ModelRequest) -> Conversation:
        """Return the limits of the earlier messages. `alone` is a request without such messages."""
        window = min(model.context_tokens for model in (self.model, *self.fallbacks))
        left = window - alone.max_tokens - estimate_prompt_tokens(alone)
        return Conversation(
            messages_max=self.agent.max_history_messages,
            tokens_max=max(0, min(self.agent.max_history_tokens, left)),
            compaction=PROFILES[self.agent.compaction_profile] if self.agent.compaction_profile else None,
            ephemeral=outputs_kept(self.tools.tools),
        )


@dataclass(frozen=True, slots=True)
class StartedTurn:
    """An admitted and recorded turn, and the input of its loop."""

    run: Run
    admitted: Admitted
    allowance: RunAllowance
    plan: TurnPlan
    loop_input: LoopInput


@dataclass(frozen=True, slots=True)
class DryRun:
    """The model of a turn, what the turn would reserve, and the rejection if a limit would reject it."""

    model: str
    routing: Routing | None
    tokens: int
    cost_nanos: int
    rejection: LimitReached | None = None


@dataclass(frozen=True, slots=True)
class TurnStarter:
    """Starts the turns of one caller."""

    context: TenantContext
    reader: TurnContextReader
    admission: TurnAdmission
    sessions: SessionStore
    runs: RunStore
    finalizer: RunFinalizer
    clock: Clock
    provider_for: Callable[[TurnContext], ModelProvider]
    tools: ToolRegistry
    services: ToolServices
    http_tools: HttpToolCache
    max_seconds: int = MAX_SECONDS_DEFAULT
    pause: Callable[[float], None] = time.sleep

    def start(self, request: TurnRequest, read: TurnContext, run_id: RunId) -> StartedTurn:
        """Start a turn. If a step fails, undo the previous steps. Raise `SessionBusy` if the session is in use."""
        plan = self.plan(request, read)
        if is_stateless(run_id):
            return self._without_session(request, read, plan, run_id)
        if read.session is None:
            return self._in_new_session(request, read, plan, run_id)
        return self._in_session(request, read, read.session, plan, run_id)

    def dry_run(self, request: TurnRequest, read: TurnContext, run_id: RunId) -> DryRun:
        """Return the reservation that a turn would make, even if the session is busy. Nothing is written."""
        plan = self.plan(request, read)
        run = self._run(request, plan, run_id, self.clock())
        first_call = _first_call(self.loop_input(plan, run, read.runs), plan)
        asked = self.admission.request_of(run_id, first_call, plan.budget, new_session=read.session is None)
        found = DryRun(run.model, run.routing, asked.tokens, asked.cost_nanos)
        try:
            self.admission.require_message(read, read.session.turn_count if read.session else 0)
        except LimitReached as rejection:
            return replace(found, rejection=rejection)
        fitted = self.admission.quotas.dry_run(asked, read.scopes, read.items, with_platform=True)
        if isinstance(fitted, Rejected):
            return replace(found, rejection=self.admission.error(fitted))
        return replace(found, tokens=fitted.tokens, cost_nanos=fitted.cost_nanos)

    def count_tokens(self, request: TurnRequest, read: TurnContext, run_id: RunId) -> int:
        """Return the tokens of a turn's first prompt, as counted by the provider or else estimated."""
        plan = self.plan(request, read)
        run = self._run(request, plan, run_id, self.clock())
        first_call = _first_call(self.loop_input(plan, run, read.runs), plan)
        try:
            return plan.provider.count_tokens(first_call)
        except ProviderUnsupported:
            return estimate_prompt_tokens(first_call)

    def plan(self, request: TurnRequest, read: TurnContext) -> TurnPlan:
        tools = self.tools
        if own := [name for name in read.agent.tools if name not in tools.names]:
            tools = tools.add(*self.http_tools.read(self.reader.agents.table, own, read.config_version))
        tools = tools.choose(read.agent.tools)
        if read.agent.require_done_tool:
            tools = tools.add(DONE)
        caller = request.caller
        if caller is not None:
            find = partial(self.runs.find_all, owner=self.context.owner)
            caller = caller.completed(request.message, tools.names, read.model.id, find)
        provider = self.provider_for(read)
        budget = self._budget(request, read.agent)
        return TurnPlan(
            read.agent, read.model, provider, budget, tools, read.fallbacks, read.routing, read.keys.own, caller
        )

    def _without_session(self, request: TurnRequest, read: TurnContext, plan: TurnPlan, run_id: RunId) -> StartedTurn:
        """Admit a turn that belongs to no session, then record its run."""
        started = self._admit(self._run(request, plan, run_id, self.clock()), read, plan, read.runs, new_session=False)
        with self._undone(started.run, new_session=False):
            self._record(started.run)
        return started

    def _in_new_session(self, request: TurnRequest, read: TurnContext, plan: TurnPlan, run_id: RunId) -> StartedTurn:
        """Admit a turn, then record its run and session. The sweeper deletes a run whose session was not recorded."""
        self.admission.require_message(read, 0)
        run = self._run(request, plan, run_id, self.clock())
        started = self._admit(run, read, plan, read.runs, new_session=True)
        with self._undone(started.run, new_session=True):
            self.runs.open(started.run)
            self.sessions.create(self._session(request, read, started.run))
        return started

    def _in_session(
        self, request: TurnRequest, read: TurnContext, session: Session, plan: TurnPlan, run_id: RunId
    ) -> StartedTurn:
        """Wait until the session is free, then admit the turn, acquire the session and record the run."""
        busy = _BusySession(request.on_busy, self, self.clock() + timedelta(seconds=plan.budget.max_seconds))
        while True:
            if session.turn is None:
                self.admission.require_message(read, session.turn_count)
                started = self._take(self._next_run(request, plan, session, run_id), session, read, plan)
                if started is not None:
                    return started
                run_id = mint_run_id(self.clock(), session.id)
            else:
                busy.wait(session)
            read = self.reader.read(request)
            session = read.session or session

    def _admit(
        self, run: Run, read: TurnContext, plan: TurnPlan, runs: RecentRuns, *, new_session: bool
    ) -> StartedTurn:
        loop_input = self.loop_input(plan, run, runs)
        first_call = _first_call(loop_input, plan)
        asked = self.admission.request_of(run.id, first_call, plan.budget, new_session=new_session)
        admitted = self.admission.admit(asked, read)
        allowance = RunAllowance(self.admission, plan.budget, read.scopes, admitted.reservation)
        return StartedTurn(replace(run, reservation=admitted.reservation), admitted, allowance, plan, loop_input)

    def _next_run(self, request: TurnRequest, plan: TurnPlan, session: Session, run_id: RunId) -> Run:
        """Return the session's next run. Its id sorts after the last run's id, even if that id has a later time."""
        now = self.clock()
        if own_ulid(run_id) <= session.last_run_ulid:
            now = max(now, read_time(f"run_{session.last_run_ulid}") + timedelta(milliseconds=1))
            run_id = mint_run_id(now, session.id)
        return self._run(request, plan, run_id, now)

    def _take(self, run: Run, free: Session, read: TurnContext, plan: TurnPlan) -> StartedTurn | None:
        """Start a turn in a session that was free when read. If it is now busy, undo the admission and return None."""
        started = self._admit(run, read, plan, read.runs, new_session=False)
        run = started.run
        with self._undone(run, new_session=False):
            try:
                head = self.sessions.open_turn(
                    free, run.id, now=run.started_at, messages_max=read.limits.maximum("messages_per_session")
                )
            except ConditionFailed:
                self.admission.quotas.release(started.admitted.reservation)
                return None
            if head.turn_count != free.turn_count + 1:
                runs = self.reader.read_history(free.id)
                started = replace(started, loop_input=self.loop_input(plan, run, runs))
            self._record(run)
        return started

    def _record(self, run: Run) -> None:
        if self.clock() - run.started_at > timedelta(seconds=_RECORDING_SECONDS_MAX):
            raise Unavailable(internal="the session may have been released before its run was recorded")
        self.runs.open(run)

    @contextmanager
    def _undone(self, run: Run, *, new_session: bool) -> Iterator[None]:
        """Undo the writes of the block if the block fails. If the undo fails, the sweeper repeats it later."""
        try:
            yield
        except Exception:
            with suppress(Unavailable):
                self.finalizer.undo(run, new_session=new_session)
            raise

    def loop_input(self, plan: TurnPlan, run: Run, runs: RecentRuns) -> LoopInput:
        context = ToolContext(self.context.tenant_id, run.id, self.clock, run.end_user, services=self.services)
        return plan.loop_input(run, runs, context)

    def _session(self, request: TurnRequest, read: TurnContext, run: Run) -> Session:
        return Session(
            id=run.session_id,
            owner=self.context.owner,
            title=clean(" ".join(texts_of(request.message)), _TITLE_CHARACTERS) or None,
            agent_id=read.agent.id if request.agent_id else None,
            end_user=request.end_user,
            metadata={},
            message_count=0,
            turn_count=1,
            created_at=run.started_at,
            updated_at=run.started_at,
            last_active_at=run.started_at,
            turn=LiveTurn(run.id, run.started_at),
        )

    def _run(self, request: TurnRequest, plan: TurnPlan, run_id: RunId, now: datetime) -> Run:
        return Run(
            id=run_id,
            owner=self.context.owner,
            agent_id=plan.agent.id,
            provider=plan.model.vendor,
            model=plan.model.id,
            routing=plan.routing,
            own_keys=plan.own_keys,
            status="running",
            question=Message(mint_message_id(now), "user", request.message, now),
            started_at=now,
            lease_until=now + timedelta(seconds=RUN_LEASE_SECONDS),
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


def _first_call(loop_input: LoopInput, plan: TurnPlan) -> ModelRequest:
    """Return the first model request of a loop. Raise `ValidationFailed` if the model does not take its options."""
    found = build_request(loop_input)
    check_options(found, plan.model)
    return found


@dataclass(slots=True)
class _BusySession:
    """Waits for a free session according to `on_busy`, until `deadline`. Nothing is reserved during the wait."""

    on_busy: OnBusy
    starter: TurnStarter
    deadline: datetime
    _interrupted: RunId | None = None

    def wait(self, head: Session) -> None:
        """Return when no turn is running in the session. Raise `SessionBusy` or `NotFound`."""
        while head.turn is not None:
            if not self.starter.finalizer.release_stale(head.id):
                self._wait_for(head.turn)
            found = self.starter.sessions.get(head.id)
            if found is None:
                raise NotFound("Session not found.")
            head = found

    def _wait_for(self, turn: LiveTurn) -> None:
        if self.on_busy == "reject" or self.starter.clock() >= self.deadline:
            raise SessionBusy(retry_after_seconds=1)
        if self.on_busy == "interrupt" and self._interrupted != turn.run_id:
            self.starter.runs.request_cancel(turn.run_id)
            self._interrupted = turn.run_id
        self.starter.pause(POLL_SECONDS)
