"""An agent that runs the platform's agent loop in the calling process."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import ceil
from typing import Any

from atrium.agent.admission import AllowanceStop, estimate_call
from atrium.agent.loop import AgentLoop, LoopStop, build_request
from atrium.agent.model import (
    MAX_ITERATIONS_DEFAULT,
    MAX_ITERATIONS_MAX,
    MAX_SECONDS_DEFAULT,
    MAX_TOKENS_DEFAULT,
    LoopInput,
)
from atrium.context.conversation import HISTORY_TOKENS_MAX, Conversation, PastTurn, as_model_messages, outputs_kept
from atrium.context.profiles import CompactionConfig
from atrium.kernel.clock import Clock, read_clock
from atrium.kernel.errors import ModelTimeout, SessionBusy, invalid_field, list_valid
from atrium.kernel.ids import TenantId, mint_run_id, mint_session_id
from atrium.llm.catalogue import MODELS, NANOS_PER_USD, find_model, to_nanos
from atrium.llm.model import ModelMessage, ModelProvider, ModelRequest, Text, ToolResult, Usage
from atrium.llm.tokens import estimate_prompt_tokens
from atrium.quotas.model import Estimate
from atrium.runs.heartbeat import StopSignal
from atrium.runs.model import LoopEvent, RunBudget, Spend, ToolResultEvent
from atrium.tools.declaration import override_dependencies
from atrium.tools.dependencies import Function
from atrium.tools.done import DONE
from atrium.tools.model import Tool, ToolContext
from atrium.tools.registry import ToolRegistry

LOCAL_TENANT = TenantId("local")
_MINUTE = timedelta(minutes=1)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FinalResponseEvent:
    """The last event of a query. `content` is the text of the answer; `stop_reason` says why the query ended."""

    content: str
    stop_reason: LoopStop
    iterations: int


type AgentEvent = LoopEvent | FinalResponseEvent


@dataclass(frozen=True, slots=True)
class AgentUsage:
    """The usage of all queries of an agent. The cost is computed with the prices of the catalogue."""

    tokens: Usage
    tool_calls: Mapping[str, int]
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class BudgetAllowance:
    """An allowance that checks the limits of one run and of each tool, and no limits of a tenant.

    `called` contains the times of the calls of the last minute by tool. The runs of an agent share it.
    """

    budget: RunBudget
    clock: Clock
    called: dict[str, deque[datetime]] = field(default_factory=dict)

    def grant(self, request: ModelRequest, spend: Spend) -> int | AllowanceStop:
        fitted = self.budget.fit(estimate_call(request, self.clock()), spend)
        return fitted.output_tokens if isinstance(fitted, Estimate) else fitted

    def refuse_tool(self, tool: Tool[Any]) -> str | None:
        now, times = self.clock(), self.called.setdefault(tool.name, deque())
        while times and times[0] <= now - _MINUTE:
            times.popleft()
        if len(times) < tool.calls_per_minute:
            times.append(now)
            return None
        wait = ceil((times[0] + _MINUTE - now).total_seconds())
        return f"Not called. The tool's limit is {tool.calls_per_minute} calls per minute. Try again in {wait} s."


class Agent:
    """A conversation with a model. One query may run at a time.

    `max_tokens` limits one answer of the model. The other limits apply to each query: when one is reached, the query
    ends with this stop reason. `max_run_tokens` counts prompts and answers. With `compaction`, the model summarises
    messages that exceed the limits of the context; without it, they are left out (`atrium.context`).
    `dependency_overrides` replaces the functions named in `Depends`. Raises `ValidationFailed` for invalid arguments.
    """

    def __init__(
        self,
        *,
        model: str,
        provider: ModelProvider,
        system_prompt: str = "",
        tools: Iterable[Tool[Any]] = (),
        max_tokens: int = MAX_TOKENS_DEFAULT,
        max_iterations: int = MAX_ITERATIONS_DEFAULT,
        max_seconds: int = MAX_SECONDS_DEFAULT,
        max_run_tokens: int | None = None,
        max_cost_usd: Decimal | None = None,
        require_done_tool: bool = False,
        compaction: CompactionConfig | None = None,
        dependency_overrides: Mapping[Function, Function] | None = None,
        clock: Clock = read_clock,
    ) -> None:
        found = find_model(model)
        if found is None:
            raise invalid_field("model", f"must be one of {list_valid(MODELS)}")
        _check("max_tokens", max_tokens, found.output_tokens_max)
        _check("max_iterations", max_iterations, MAX_ITERATIONS_MAX)
        _check_type("compaction", compaction, CompactionConfig)
        _check_type("max_cost_usd", max_cost_usd, Decimal)
        for name, value in (
            ("max_seconds", max_seconds), ("max_run_tokens", max_run_tokens), ("max_cost_usd", max_cost_usd),
        ):  # fmt: skip
            _check(name, value)
        cost_nanos = None if max_cost_usd is None else to_nanos(max_cost_usd)
        self._budget = RunBudget(max_iterations, max_seconds, cost_nanos, max_run_tokens)
        self._tools = _make_registry(tools, dependency_overrides or {}, require_done_tool)
        self._model, self._provider, self._system, self._clock = model, provider, system_prompt, clock
        self._max_tokens, self._require_done_tool = max_tokens, require_done_tool
        self._messages: tuple[ModelMessage, ...] = ()
        self._window = found.context_tokens
        self._limits = Conversation(compaction=compaction, ephemeral=outputs_kept(self._tools.tools))
        self._conversation = self._limits
        self._spend = Spend()
        self._called: dict[str, deque[datetime]] = {}
        self._busy = threading.Lock()

    @property
    def messages(self) -> tuple[ModelMessage, ...]:
        """Return the history that the next query continues. A query without an answer is not part of it."""
        return self._messages

    def load_history(self, messages: Iterable[ModelMessage]) -> None:
        """Replace the history. Raise `SessionBusy` while a query runs."""
        with self._reserved():
            self._messages = tuple(messages)
            self._conversation = replace(self._limits, turns=tuple(_turns(self._messages)))

    def clear_history(self) -> None:
        """Remove all messages. The usage stays. Raise `SessionBusy` while a query runs."""
        self.load_history(())

    def get_usage(self) -> AgentUsage:
        """Return the usage of all queries that have ended, including failed queries."""
        spend = self._spend
        return AgentUsage(spend.tokens, dict(spend.tool_calls), Decimal(spend.cost_nanos) / NANOS_PER_USD)

    def query(self, message: str) -> str:
        """Send a message and return the text of the answer. Raise the same errors as `query_stream`."""
        *_, last = self.query_stream(message)
        return last.content if isinstance(last, FinalResponseEvent) else ""

    def query_stream(self, message: str) -> Generator[AgentEvent]:
        """Send a message when the iteration begins. Yield the events of the loop and then `FinalResponseEvent`.

        The query ends if the generator is closed. The history then contains the answer so far, as after an error.
        Raises `ModelFailed`, `ModelTimeout`, `SessionBusy` if another query runs, or `ValidationFailed`.
        """
        if not isinstance(message, str) or not message.strip():
            raise invalid_field("message", "must not be empty, and must be a text")
        with self._reserved():
            question = ModelMessage("user", (Text(message),))
            loop = self._make_loop(question)
            try:
                yield from _run(loop, self._budget.max_seconds)
            finally:
                self._keep(question, loop)
        if loop.stop_reason is None or (loop.stop_reason == "max_seconds" and not loop.messages):
            raise ModelTimeout
        yield FinalResponseEvent(loop.text, loop.stop_reason, loop.iterations)

    @contextmanager
    def _reserved(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise SessionBusy("The agent is running a query. Wait for its end, or close its stream.")
        try:
            yield
        finally:
            self._busy.release()

    def _make_loop(self, question: ModelMessage) -> AgentLoop:
        now = self._clock()
        loop_input = LoopInput(
            model=self._model,
            system=self._system,
            history=(question,),
            max_tokens=self._max_tokens,
            temperature=None,
            tools=self._tools,
            context=ToolContext(LOCAL_TENANT, mint_run_id(now, mint_session_id(now)), self._clock),
            max_iterations=self._budget.max_iterations,
            require_done_tool=self._require_done_tool,
        )
        room = self._window - self._max_tokens - estimate_prompt_tokens(build_request(loop_input))
        limits = replace(self._conversation, tokens_max=max(0, min(HISTORY_TOKENS_MAX, room)))
        loop_input = replace(loop_input, conversation=limits)
        deadline = time.monotonic() + self._budget.max_seconds
        allowance = BudgetAllowance(self._budget, self._clock, self._called)
        return AgentLoop(loop_input, allowance, self._provider, StopSignal(), self._clock, deadline)

    def _keep(self, question: ModelMessage, loop: AgentLoop) -> None:
        """Add the messages and the usage of a query. Without an answer, a model would answer the question later."""
        if any(message.role == "assistant" for message in loop.messages):
            turn, sent = (question, *as_model_messages(loop.messages)), loop.loop_input.conversation
            self._messages = (*self._messages, *turn)
            last = PastTurn(f"{len(self._messages):026}", turn).without(sent.own_left_out)
            self._conversation = replace(self._limits, turns=(*sent.turns, last), summary=sent.summary)
        used = loop.spend
        before = self._spend.with_calls(used.tool_calls)
        self._spend = Spend(before.tokens + used.tokens, before.tool_calls, before.cost_nanos + used.cost_nanos)


def _turns(messages: Sequence[ModelMessage]) -> Iterator[PastTurn]:
    """Yield the turns of a history. A turn begins with a user's message that has no tool results."""
    begins = [at for at, each in enumerate(messages) if at == 0 or (each.role == "user" and not _has_results(each))]
    for begin, end in pairwise([*begins, len(messages)]):
        yield PastTurn(f"{end:026}", tuple(messages[begin:end]))


def _has_results(message: ModelMessage) -> bool:
    return any(isinstance(block, ToolResult) for block in message.content)


def anthropic_provider(api_key: str, *, base_url: str = "") -> ModelProvider:
    """Return the provider of Claude models. `base_url` selects another server with Anthropic's interface."""
    from atrium.llm.anthropic.provider import AnthropicProvider, direct_channel

    return AnthropicProvider(direct_channel(base_url, lambda: api_key))


def _run(loop: AgentLoop, max_seconds: float) -> Iterator[LoopEvent]:
    """Yield the events of a loop that is stopped after `max_seconds`. Unexpected exceptions of tools are logged."""
    timer = threading.Timer(max_seconds, loop.signal.stop, ("max_seconds",))
    timer.daemon = True
    timer.start()
    try:
        with closing(loop.run()) as events:
            for event in events:
                if isinstance(event, ToolResultEvent) and event.answer.defect is not None:
                    _logger.error("The tool %s failed.", event.call.name, exc_info=event.answer.defect)
                yield event
    finally:
        timer.cancel()


def _make_registry(
    tools: Iterable[Tool[Any]], overrides: Mapping[Function, Function], require_done_tool: bool
) -> ToolRegistry:
    chosen = [*tools, *([DONE] if require_done_tool else [])]
    if not all(isinstance(each, Tool) for each in chosen):
        raise invalid_field("tools", "must contain only tools; decorate functions with `tool`")
    names = Counter(each.name for each in chosen)
    for each in chosen:
        if each.requires_approval:
            raise invalid_field("tools", f"the tool {each.name} requires approval, which only the platform can ask for")
        if names[each.name] > 1 or (each.name == DONE.name and each is not DONE):
            raise invalid_field("tools", f"must have different names, and not the reserved name `{DONE.name}`")
    return ToolRegistry(override_dependencies(chosen, overrides))


def _check_type(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise invalid_field(name, f"must be a {kind.__name__}")


def _check(name: str, value: int | Decimal | None, largest: int | None = None) -> None:
    if value is not None and (value <= 0 or (largest is not None and value > largest)):
        raise invalid_field(name, "must be greater than 0" if largest is None else f"must be from 1 to {largest}")
