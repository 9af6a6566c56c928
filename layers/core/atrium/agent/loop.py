"""The agent loop: calls the model, then the requested tools, until the model ends its turn.

The loop does not write to the table. `messages` and `spend` are always valid, so an interrupted turn can be recorded.
"""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from atrium.agent.admission import Allowance, AllowanceStop
from atrium.agent.model import LoopInput
from atrium.context.caller import call_id
from atrium.context.compaction import plan_compaction
from atrium.context.conversation import as_model_messages
from atrium.kernel.clock import Clock
from atrium.kernel.errors import AtriumError, CircuitOpen, ModelFailed, ModelTimeout
from atrium.kernel.ids import mint_message_id
from atrium.llm import model as llm
from atrium.llm.catalogue import price
from atrium.llm.normalise import clean_id, repair_request
from atrium.runs.calls import CUT_OFF, answer_calls, result_of
from atrium.runs.heartbeat import StopCause, StopSignal
from atrium.runs.model import (
    STEP_SEPARATOR,
    ApprovalRequiredEvent,
    LoopEvent,
    Message,
    MessageRole,
    Spend,
    TextEvent,
    ThinkingEvent,
    ToolCallEvent,
    ToolResultEvent,
)  # fmt: skip
from atrium.runs.steps import STOPPED, Resumption, Step
from atrium.tools.done import DONE, REMINDER
from atrium.tools.registry import ToolAnswer

type LoopStop = llm.StopReason | AllowanceStop | StopCause | Literal["done", "fallback", "approval_required"]

REFUSAL = "I cannot help with that. If you tell me what you want to achieve, I may be able to help in another way."
NO_APPROVAL = "Not called: this tool needs the approval of a person, which this endpoint does not support."
MODEL_FAILURES = (ModelFailed, ModelTimeout, CircuitOpen)
_GRACE_SECONDS = 5.0  # the turn's deadline must end a call before the provider's deadline does


@dataclass(slots=True)
class AgentLoop:
    """One execution of the loop. `run` may be iterated once. `deadline` is a time of the monotonic clock.

    `degraded` means that a fallback model or text was used. `failure` is the error that `fallback_text` replaced.
    `record` is called with each step before the next step begins. `waiting` are the calls that need approval.
    """

    loop_input: LoopInput
    allowance: Allowance
    provider: llm.ModelProvider
    signal: StopSignal
    clock: Clock
    deadline: float
    record: Callable[[Step], None] = lambda _step: None
    resumption: Resumption | None = None
    messages: list[Message] = field(default_factory=list)
    iterations: int = 0
    stop_reason: LoopStop | None = None
    stop_sequence: str | None = None
    degraded: bool = False
    failure: AtriumError | None = None
    waiting: tuple[llm.ToolUse, ...] = ()
    _recorded: int = 0
    _text: list[str] = field(default_factory=list)
    _separator_due: bool = False
    _used: tuple[Spend, llm.ModelStream | None] = field(default_factory=lambda: (Spend(), None))

    @property
    def text(self) -> str:
        """Return all text that has been streamed so far."""
        return "".join(self._text)

    @property
    def spend(self) -> Spend:
        """Return the usage so far, including the model call in progress. Thread-safe."""
        settled, stream = self._used
        return self._priced(settled, stream) if stream else settled

    def run(self) -> Generator[LoopEvent]:
        """Yield events until the run ends. A model failure is raised after its output is in `messages` and `spend`."""
        if self.resumption is not None:
            self._restore(self.resumption)
            yield from self._resume(self.resumption)
        while self.stop_reason is None:
            self.stop_reason = self.signal.cause
            if self.stop_reason is None and self.iterations >= self.loop_input.max_iterations:
                self.stop_reason = "max_iterations"
            if self.stop_reason is None:
                request = self._next_request()
                granted = self.signal.cause or self.allowance.grant(request, self.spend)
                if isinstance(granted, int):
                    yield from self._step(replace(request, max_tokens=granted))
                else:
                    self.stop_reason = granted

    def _restore(self, resumption: Resumption) -> None:
        """Set the state that the steps of earlier workers recorded."""
        progress = resumption.progress
        self.messages, self.iterations = list(progress.messages), progress.iterations
        self._used, self._recorded = (progress.spend, None), len(self.messages)
        self._text = [text for each in self.messages if each.role == "assistant" and (text := each.text)]
        self._omit_thinking(progress.thinking_from)

    def _step(self, request: llm.ModelRequest) -> Iterator[LoopEvent]:
        self.iterations += 1
        try:
            completed = yield from self._ask(request)
        except MODEL_FAILURES as error:
            if self._text or not self.loop_input.fallback_text or not error.retryable:
                raise
            self.failure, self.degraded, self.stop_reason = error, True, "fallback"
            yield from self._say(self.loop_input.fallback_text)
            return
        if completed is None:
            self.stop_reason = self.signal.cause or "cancelled"
            return
        completed = replace(completed, content=self._with_new_ids(completed.content))
        if completed.content:
            self._record("assistant", completed.content)
        if request.reminder:
            self._omit_thinking(len(self.messages))
        calls = [block for block in completed.content if isinstance(block, llm.ToolUse)]
        goes_on = bool(calls) and completed.stop_reason == "tool_use"
        if calls:
            yield from self._answer(calls, executed=goes_on)
        if completed.stop_reason == "refusal":
            yield from self._say(REFUSAL)
        if self.stop_reason is not None:
            return
        if self.signal.cause is not None:
            self.stop_reason = self.signal.cause
        elif goes_on and any(self._can_be_made(call) and call.name == DONE.name for call in calls):
            self.stop_reason = "done"
        elif not goes_on and not self._tighten(completed):
            self.stop_sequence = completed.stop_sequence
            self._end(completed.stop_reason)

    def _with_new_ids(self, content: Sequence[llm.Block]) -> tuple[llm.Block, ...]:
        """Return an answer in which no tool call has the id of an earlier call, because decisions belong to ids."""
        taken = {block.id for each in self.messages for block in each.content if isinstance(block, llm.ToolUse)}
        caller, numbers = self.loop_input.caller, count(len(taken))

        def new_id(call: llm.ToolUse) -> str:
            if caller is not None and self._is_callers(call) and not call.problem:
                return call_id(caller.call_prefix, self.loop_input.context.run_id, next(numbers))
            return clean_id(call.id, taken)

        return tuple(replace(each, id=new_id(each)) if isinstance(each, llm.ToolUse) else each for each in content)

    def _can_be_made(self, call: llm.ToolUse) -> bool:
        return not call.problem and call.name in self.loop_input.tools.names

    def _end(self, reason: llm.StopReason) -> None:
        """End the loop, or remind the model if it must call `done` first."""
        if self.loop_input.require_done_tool and reason == "end_turn":
            self._record("tool", (llm.Text(REMINDER),))
            self._record_step()
            self._separator_due = True
        else:
            self.stop_reason = reason

    def _ask(self, request: llm.ModelRequest) -> Generator[LoopEvent, None, llm.Completed | None]:
        """Make one model call. Return the complete answer, or None if the stop signal ended the call."""
        partial: list[str] = []
        completed: llm.Completed | None = None
        stream = self.provider.open(request, deadline_seconds=self._remaining_seconds())
        self._used = (self._used[0], stream)
        try:
            with self.signal.closing(stream):
                for event in stream:
                    match event:
                        case llm.TextDelta(text):
                            yield from self._piece(text, partial)
                        case llm.ThinkingDelta(text):
                            yield ThinkingEvent(text)
                        case llm.Completed():
                            completed = event
        except MODEL_FAILURES:
            if self.signal.cause is None:
                raise
        finally:
            self._used = (self._priced(self._used[0], stream), None)
            self._keep_model(stream.model)
            if completed is None and partial:
                self._record("assistant", (llm.Text("".join(partial)),))
        if completed is None and self.signal.cause is None:
            raise ModelFailed(internal="the stream ended without completing")
        return completed

    def _next_request(self) -> llm.ModelRequest:
        """Return the next request, within its limits. Above the threshold, older messages are summarised first."""
        own, conversation = as_model_messages(self.messages), self.loop_input.conversation
        if conversation.compaction is not None:
            plan = plan_compaction(conversation, own, self.loop_input.model, self.loop_input.fallbacks)
            conversation = conversation if plan is None else plan.apply(self._summarise(plan.request))
        self.loop_input = replace(self.loop_input, conversation=conversation.fitted(own))
        request, reminders = build_request(self.loop_input, self.messages), self.loop_input.reminders
        if reminders is None or not self.messages:
            return request
        left = self.deadline - time.monotonic()
        return replace(request, reminder=reminders.write(self.messages, self.iterations, self.spend, left))

    def _summarise(self, request: llm.ModelRequest) -> llm.Completed | None:
        """Make the model call of a compaction. Return None if it is not allowed, is stopped or fails."""
        granted = self.allowance.grant(request, self.spend)
        if not isinstance(granted, int):
            return None
        stream = self.provider.open(replace(request, max_tokens=granted), deadline_seconds=self._remaining_seconds())
        self._used = (self._used[0], stream)
        try:
            with self.signal.closing(stream):
                completed = [event for event in stream if isinstance(event, llm.Completed)]  # to the end of the stream
            return completed[-1] if completed else None
        except MODEL_FAILURES:
            return None
        finally:
            self._used = (self._priced(self._used[0], stream), None)

    def _tighten(self, completed: llm.Completed) -> bool:
        """If the provider rejected the prompt as too long, halve the limit once. Return whether this was done."""
        if completed.stop_reason != "context_overflow" or completed.content:
            return False
        tightened = self.loop_input.conversation.tighten(as_model_messages(self.messages))
        if tightened is not None:
            self.loop_input = replace(self.loop_input, conversation=tightened)
        return tightened is not None

    def _keep_model(self, answered: str) -> None:
        """Use the model that answered for all further iterations."""
        models = (self.loop_input.model, *self.loop_input.fallbacks)
        if answered != models[0]:
            self.degraded = True
            rest = models[models.index(answered) + 1 :]
            self.loop_input = replace(self.loop_input, model=answered, fallbacks=rest)
            self._omit_thinking(len(self.messages))

    def _omit_thinking(self, end: int) -> None:
        """Do not send the thinking of own messages before `end`, because what it is bound to is not sent again."""
        conversation = self.loop_input.conversation
        omitting = replace(conversation, thinking_from=max(end, conversation.thinking_from))
        self.loop_input = replace(self.loop_input, conversation=omitting)

    def _piece(self, text: str, partial: list[str]) -> Iterator[LoopEvent]:
        if not text:
            return
        if self._separator_due and self._text:
            self._text.append(STEP_SEPARATOR)
            yield TextEvent(STEP_SEPARATOR)
        self._separator_due = False
        partial.append(text)
        self._text.append(text)
        yield TextEvent(text)

    def _say(self, text: str) -> Iterator[LoopEvent]:
        """Add a fixed text, which the model did not write, to the answer."""
        self._separator_due = True
        yield from self._piece(text, [])
        self._record("assistant", (llm.Text(text),))

    def _answer(self, calls: Sequence[llm.ToolUse], *, executed: bool) -> Iterator[LoopEvent]:
        """Run or reject tool calls. Every call has a result in `messages`, even if this generator is closed early.

        Calls of the caller's tools are only passed on and end the loop.
        """
        self._separator_due = True
        answers: dict[str, ToolAnswer] = {} if executed else dict.fromkeys((call.id for call in calls), CUT_OFF)
        passed: list[llm.ToolUse] = []
        try:
            if executed:
                answers |= self._refuse_calls(calls)
            passed = [call for call in calls if call.id not in answers and self._is_callers(call)]
            left = [call for call in calls if call.id not in answers and call not in passed]
            waiting = [call for call in left if call.name in self.loop_input.approvals]
            made = [call for call in left if call not in waiting]
            refused = [call for call in calls if call.id in answers]
            counts = Counter(call.name for call in made if call.name in self.loop_input.tools.names)
            self._used = (self._used[0].with_calls(counts), None)
            self._record_step(made, [result_of(call, answers[call.id]) for call in refused])
            yield from map(ToolCallEvent, calls)
            for call in refused:
                yield ToolResultEvent(call, answers[call.id])
            yield from self._make(made, answers)
            yield from self._wait_for(waiting)
        finally:
            self._record_results([call for call in calls if call not in passed], answers)
        if passed:
            self.stop_reason = "tool_use"

    def _is_callers(self, call: llm.ToolUse) -> bool:
        caller = self.loop_input.caller
        return caller is not None and call.name in caller.tool_names

    def _resume(self, resumption: Resumption) -> Iterator[LoopEvent]:
        """Make the calls that another worker left open. The intent of these calls is already recorded."""
        self._separator_due, calls = True, resumption.progress.calls
        results = resumption.progress.results
        answers = {call: ToolAnswer(each.content, each.is_error) for call, each in results.items()}
        try:
            yield from resumption.unseen
            if self.signal.cause is None:
                yield from self._make(resumption.made, answers, resumption.notes)
            yield from self._wait_for(resumption.waiting)
        finally:
            self._record_results(calls, answers)
        if any(call.name == DONE.name and not answers.get(call.id, STOPPED).is_error for call in calls):
            self.stop_reason = self.signal.cause or "done"

    def _wait_for(self, waiting: Sequence[llm.ToolUse]) -> Iterator[LoopEvent]:
        """Stop the loop if calls wait for approval."""
        if waiting and self.signal.cause is None:
            self.loop_input.tools.note_waiting([call.name for call in waiting], self.loop_input.context)
            self.waiting, self.stop_reason = tuple(waiting), "approval_required"
            yield from map(ApprovalRequiredEvent, waiting)

    def _record_results(self, calls: Sequence[llm.ToolUse], answers: Mapping[str, ToolAnswer]) -> None:
        """Add the results of the calls to `messages`, unless one of the calls waits for approval."""
        if calls and not self.waiting:
            self._record("tool", tuple(result_of(call, answers.get(call.id, STOPPED)) for call in calls))

    def _make(
        self, made: Sequence[llm.ToolUse], answers: dict[str, ToolAnswer], notes: Mapping[str, str] | None = None
    ) -> Iterator[LoopEvent]:
        """Make calls, and add their answers. A result of a call with effects is recorded before its event.

        `notes` are texts, by call id, that precede the results.
        """
        tools, unrecorded = self.loop_input.tools, list[llm.ToolResult]()
        for at, found in answer_calls(made, tools, self.loop_input.context, self.signal):
            call = made[at]
            answers[call.id] = answer = found.after((notes or {}).get(call.id, ""))
            unrecorded.append(result_of(call, answer))
            if tools.effect(call.name) == "effectful":
                self._record_step(results=unrecorded)
                unrecorded = []
            yield ToolResultEvent(call, answer)
        if unrecorded:
            self._record_step(results=unrecorded)

    def _record_step(self, made: Sequence[llm.ToolUse] = (), results: Sequence[llm.ToolResult] = ()) -> None:
        """Record the messages since the last step, the calls that are made next, and results of earlier calls."""
        new = self.messages[self._recorded :]
        self._recorded = len(self.messages)
        said = tuple(each for each in new if not any(isinstance(block, llm.ToolResult) for block in each.content))
        ids = tuple(call.id for call in made)
        model, thinking_from = self.loop_input.model, self.loop_input.conversation.thinking_from
        self.record(Step(said, ids, tuple(results), self.spend, self.iterations, model, thinking_from=thinking_from))

    def _refuse_calls(self, calls: Sequence[llm.ToolUse]) -> dict[str, ToolAnswer]:
        """Return the error results of invalid calls and of calls that a limit rejects. `done` is not limited."""
        refused: dict[str, ToolAnswer] = {}
        for call in calls:
            reason = call.problem or None
            if self.loop_input.caller is not None and call.name in self.loop_input.approvals:
                reason = NO_APPROVAL
            elif self._can_be_made(call) and call.name != DONE.name and self.signal.cause is None:
                reason = self.allowance.refuse_tool(self.loop_input.tools.get(call.name))
            if reason is not None:
                refused[call.id] = ToolAnswer(reason, is_error=True)
        return refused

    def _remaining_seconds(self) -> float:
        return max(0.0, self.deadline - time.monotonic()) + _GRACE_SECONDS

    def _priced(self, spend: Spend, stream: llm.ModelStream) -> Spend:
        used = stream.usage
        cost = price(stream.model, used, self.clock())
        return Spend(spend.tokens + used, spend.tool_calls, spend.cost_nanos + cost)

    def _record(self, role: MessageRole, content: tuple[llm.Block, ...]) -> None:
        now = self.clock()
        self.messages.append(Message(mint_message_id(now), role, content, now))


def build_request(loop_input: LoopInput, messages: Sequence[Message] = ()) -> llm.ModelRequest:
    """Return the next model request of a loop. The request is repaired, so that any stored history is valid."""
    request = llm.ModelRequest(
        model=loop_input.model,
        system=loop_input.system,
        messages=loop_input.conversation.messages(loop_input.history, as_model_messages(messages)),
        tools=loop_input.tools.schemas(),
        max_tokens=loop_input.max_tokens,
        temperature=loop_input.temperature,
        fallbacks=loop_input.fallbacks,
    )
    caller = loop_input.caller
    return repair_request(caller.apply(request, is_first=not messages) if caller else request)
