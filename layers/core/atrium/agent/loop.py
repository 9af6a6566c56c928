"""The one agent loop: model, tools, model, until done. A generator of typed events over plain state.

It does no storage. What it has produced so far is always readable (`messages`, `spend`), so that a turn that
is cut at any point can be recorded with a valid history and its real cost.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from atrium.agent.budget import RunBudget
from atrium.agent.signals import StopSignal
from atrium.agent.steps import (
    LoopEvent,
    TextPiece,
    ThinkingPiece,
    ToolAnswered,
    ToolCalled,
    answer_calls,
    result_of,
)
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ModelFailed, ModelTimeout
from atrium.kernel.ids import mint_message_id
from atrium.llm import model as llm
from atrium.llm.catalogue import price
from atrium.runs.model import Message, MessageRole, Spend
from atrium.tools.done import DONE, REMINDER
from atrium.tools.model import ToolContext
from atrium.tools.registry import ToolRegistry

_STEP_SEPARATOR = "\n\n"


@dataclass(frozen=True, slots=True)
class LoopInput:
    """What a loop starts from. `history` ends with the user's message."""

    model: str
    system: str
    history: tuple[llm.Message, ...]
    max_tokens: int
    temperature: float | None
    tools: ToolRegistry
    context: ToolContext
    budget: RunBudget
    require_done_tool: bool = False


@dataclass(slots=True)
class AgentLoop:
    """One run of the loop; `run` may be iterated once."""

    given: LoopInput
    provider: llm.ModelProvider
    signal: StopSignal
    clock: Clock
    deadline_seconds: float
    messages: list[Message] = field(default_factory=list)
    spend: Spend = field(default_factory=Spend)
    iterations: int = 0
    stop_reason: str | None = None
    _text: list[str] = field(default_factory=list)
    _separator_due: bool = False

    @property
    def text(self) -> str:
        """All text so far, as it was streamed."""
        return "".join(self._text)

    def run(self) -> Iterator[LoopEvent]:
        """Yield events until the model is done, a bound is reached, or the signal stops it.

        Model failures propagate after what came before them has been put into `messages` and `spend`.
        """
        while self.stop_reason is None:
            self.stop_reason = self.given.budget.stops(self.spend, self.iterations)
            if self.stop_reason is None:
                yield from self._step()

    def _step(self) -> Iterator[LoopEvent]:
        self.iterations += 1
        completed = yield from self._ask()
        if completed is None:
            self.stop_reason = self.signal.cause or "cancelled"
            return
        if completed.content:
            self._record("assistant", completed.content)
        calls = [block for block in completed.content if isinstance(block, llm.ToolUse)]
        if calls:
            yield from self._answer(calls)
        if self.signal.cause is not None:
            self.stop_reason = self.signal.cause
        elif any(call.name == DONE.name for call in calls):
            self.stop_reason = "done"
        elif not calls or completed.stop_reason != "tool_use":
            self._end(completed.stop_reason)

    def _end(self, reason: llm.StopReason) -> None:
        """Let the model end its turn, unless it has to call `done` first."""
        if self.given.require_done_tool and reason == "end_turn":
            self._record("tool", (llm.Text(REMINDER),))
        else:
            self.stop_reason = reason

    def _ask(self) -> Generator[LoopEvent, None, llm.Completed | None]:
        """Make one model call; returns what it completed, or None where the signal cut it off."""
        partial: list[str] = []
        stream: llm.ModelStream | None = None
        completed: llm.Completed | None = None
        try:
            stream = self.provider.open(self._request(), deadline_seconds=self.deadline_seconds)
            with self.signal.closing(stream):
                for event in stream:
                    match event:
                        case llm.TextDelta(text):
                            yield from self._text_piece(text, partial)
                        case llm.ThinkingDelta(text):
                            yield ThinkingPiece(text)
                        case llm.Completed():
                            completed = event
        except (ModelFailed, ModelTimeout):
            if self.signal.cause is None:
                raise
        finally:
            self._count(stream.usage if stream else llm.Usage())
            if completed is None and partial:
                self._record("assistant", (llm.Text("".join(partial)),))
        if completed is None and self.signal.cause is None:
            raise ModelFailed(internal="the stream ended without completing")
        return completed

    def _text_piece(self, text: str, partial: list[str]) -> Iterator[LoopEvent]:
        if not text:
            return
        if self._separator_due and self._text:
            self._text.append(_STEP_SEPARATOR)
            yield TextPiece(_STEP_SEPARATOR)
        self._separator_due = False
        partial.append(text)
        self._text.append(text)
        yield TextPiece(text)

    def _answer(self, calls: list[llm.ToolUse]) -> Iterator[LoopEvent]:
        self._separator_due = True
        for call in calls:
            yield ToolCalled(call)
        answers: dict[str, ToolAnswered] = {}
        for answered in answer_calls(calls, self.given.tools, self.given.context, self.signal):
            answers[answered.call.id] = answered
            yield answered
        counted = dict(self.spend.tool_calls)
        for call in calls:
            counted[call.name] = counted.get(call.name, 0) + 1
        self.spend = Spend(self.spend.tokens, counted, self.spend.cost_nanos)
        self._record("tool", tuple(result_of(answers[call.id]) for call in calls))

    def _request(self) -> llm.ModelRequest:
        given = self.given
        return llm.ModelRequest(
            model=given.model,
            system=given.system,
            messages=(*given.history, *as_model_messages(self.messages)),
            tools=given.tools.schemas(),
            max_tokens=given.budget.output_tokens_max(given.max_tokens, self.spend),
            temperature=given.temperature,
        )

    def _count(self, used: llm.Usage) -> None:
        cost = price(self.given.model, used, self.clock())
        self.spend = Spend(self.spend.tokens + used, self.spend.tool_calls, self.spend.cost_nanos + cost)

    def _record(self, role: MessageRole, content: tuple[llm.Block, ...]) -> None:
        now = self.clock()
        self.messages.append(Message(mint_message_id(now), role, content, now))


def as_model_messages(messages: list[Message] | tuple[Message, ...]) -> tuple[llm.Message, ...]:
    """Return messages as a model takes them: tool results are the user's, neighbours of one role are one."""
    merged: list[llm.Message] = []
    for message in messages:
        role: llm.Role = "assistant" if message.role == "assistant" else "user"
        if merged and merged[-1].role == role:
            merged[-1] = llm.Message(role, merged[-1].content + message.content)
        else:
            merged.append(llm.Message(role, message.content))
    return tuple(merged)
