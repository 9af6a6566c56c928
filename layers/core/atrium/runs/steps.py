"""The steps of a run: the model's answers and the results of its tool calls, each recorded before the next step.

    RUN#<run>   STEP#<n>    n = 1, 2, 3 …, each written once, kept seven days

A worker writes the step after the last one that it knows, on the condition that this step does not exist. A worker that
takes over a run first writes a step of its own. Then every later write of the earlier worker fails, so of two workers
only one makes the next tool call. A turn without tool calls has no steps.

A step that names calls in `made` is recorded before these calls are made. If such a call has no result, it may or may
not have had its effect.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

from atrium.kernel.clock import Clock, epoch_seconds, format_time, parse_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import RunId, mint_message_id
from atrium.llm.model import ToolResult, ToolUse
from atrium.runs.items import (
    decode_blocks,
    decode_message,
    encode_blocks,
    encode_message,
    load_payload,
    read_spend,
    spend_attribute,
    store_payload,
)
from atrium.runs.model import (
    STEP_SEPARATOR,
    LoopEvent,
    Message,
    RunEvent,
    Spend,
    TextEvent,
    ToolCallEvent,
    ToolResultEvent,
    answer_text,
)
from atrium.runs.store import KEPT_DAYS, LeaseLost, RunStore
from atrium.storage import keys
from atrium.storage.table import Query
from atrium.storage.writes import NEW, Put
from atrium.tools.registry import ToolAnswer

_PAGE = 50
STOPPED = ToolAnswer("The run was stopped before this tool had answered.", is_error=True)
UNKNOWN = (
    "The outcome of this call is unknown, because the worker failed while the tool ran. The call may have had its "
    "effect. Check this before you repeat the call."
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run.

    `messages` are new messages; the last one may have tool calls. `made` has the ids of the calls that the worker makes
    after this step, and `results` the results of calls of the last answer. `is_takeover` means that another worker had
    the run before. The thinking of the run's messages before `thinking_from` cannot be sent back.
    """

    messages: tuple[Message, ...] = ()
    made: tuple[str, ...] = ()
    results: tuple[ToolResult, ...] = ()
    spend: Spend = field(default_factory=Spend)
    iterations: int = 0
    model: str = ""
    is_takeover: bool = False
    thinking_from: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run according to its steps. The last of the `messages` may have tool calls.

    `made` and `results` belong to these calls. `takeovers` is the number of workers that took over the run since the
    last answer or result. `at` is the time of the last step. The thinking of the messages before `thinking_from` cannot
    be sent back, for example because it is of another model than `model`.
    """

    steps: int = 0
    messages: tuple[Message, ...] = ()
    made: frozenset[str] = frozenset()
    results: Mapping[str, ToolResult] = field(default_factory=dict)
    spend: Spend = field(default_factory=Spend)
    iterations: int = 0
    model: str = ""
    thinking_from: int = 0
    origin: Mapping[str, Any] = field(default_factory=dict)
    takeovers: int = 0
    at: datetime | None = None

    @property
    def calls(self) -> tuple[ToolUse, ...]:
        """The tool calls of the last message."""
        last = self.messages[-1].content if self.messages else ()
        return tuple(block for block in last if isinstance(block, ToolUse))

    @property
    def open_calls(self) -> tuple[ToolUse, ...]:
        """The tool calls of the last message that have no result."""
        return tuple(call for call in self.calls if call.id not in self.results)

    def after(self, step: Step, at: datetime, origin: Mapping[str, Any]) -> "Progress":
        """Return the state after one more step, which was recorded at the given time."""
        before = self.closed() if step.messages else self
        is_other_model = self.steps > 0 and step.model != self.model
        return Progress(
            steps=self.steps + 1,
            messages=(*before.messages, *step.messages),
            made=before.made | frozenset(step.made),
            results={**before.results, **{result.tool_use_id: result for result in step.results}},
            spend=step.spend,
            iterations=step.iterations,
            model=step.model,
            thinking_from=max(self.thinking_from, step.thinking_from, len(before.messages) if is_other_model else 0),
            origin=self.origin or origin,
            takeovers=self.takeovers + 1 if step.is_takeover else 0,
            at=at,
        )

    def knowing(self, results: Mapping[str, ToolResult]) -> "Progress":
        """Return this state with results that were shown, but not recorded. Calls without effects may have some."""
        own = {call.id: results[call.id] for call in self.calls if call.id in results}
        return replace(self, results={**own, **self.results})

    def closed(self, missing: str = "") -> "Progress":
        """Return this state with the results of the last calls as a message. `missing` is the text of a missing one."""
        if not self.calls or self.at is None:
            return self
        results = (self.results.get(call.id, ToolResult(call.id, missing, is_error=True)) for call in self.calls)
        message = Message(mint_message_id(self.at), "tool", tuple(results), self.at)
        return replace(self, messages=(*self.messages, message), made=frozenset(), results={})


@dataclass(frozen=True, slots=True)
class Resumption:
    """How a worker continues a run that another worker left in the state `progress`.

    Of the tool calls of the last message, `made` are made, possibly again, `waiting` need approval, and all others have
    a result. `notes` are texts, by call id, that precede the results of made calls. `unseen` are the events of recorded
    messages and results that are not stored. Text of an answer that was cut off is not part of the messages: the model
    answers again.
    """

    progress: Progress
    made: tuple[ToolUse, ...]
    unseen: tuple[LoopEvent, ...]
    waiting: tuple[ToolUse, ...]
    notes: Mapping[str, str]


@dataclass(slots=True)
class StepLog:
    """Reads and appends the steps of one run. `last` is the number of the last step that this worker knows.

    `origin` describes the caller and the limits of the run. It is recorded with the first step.
    """

    runs: RunStore
    run_id: RunId
    clock: Clock
    origin: Mapping[str, Any] = field(default_factory=dict)
    last: int = 0

    def read(self) -> Progress:
        """Return the state of the run after all recorded steps. Strongly consistent."""
        progress, partition = Progress(), keys.step(self.run_id, 1).partition
        for item in self.runs.table.query_all(Query(partition, prefix=keys.STEP, limit=_PAGE)):
            content = load_payload(self.runs.blobs, "step", item)
            progress = progress.after(_decode(content), parse_time(content["at"]), content.get("origin", {}))
        self.last = progress.steps
        return progress

    def append(self, step: Step) -> None:
        """Record a step. Raise `LeaseLost` if another worker recorded a step first. A lost reply is recognised."""
        now, mark = self.clock(), token_hex(8)
        content = _encode(step, now) | ({} if self.last else {"origin": dict(self.origin)})
        item = store_payload(self.runs.blobs, "step", f"runs/{self.run_id}/steps/{self.last + 1}", content)
        item |= {"mark": mark, "ttl": epoch_seconds(now + timedelta(days=KEPT_DAYS))}
        try:
            self.runs.table.write(Put(keys.step(self.run_id, self.last + 1), item, NEW))
        except ConditionFailed as error:
            if not error.item or error.item.get("mark") != mark:
                raise LeaseLost from error
        self.last += 1


def _encode(step: Step, at: datetime) -> dict[str, Any]:
    fields = {
        "at": format_time(at),
        "messages": [encode_message(message) for message in step.messages],
        "made": list(step.made),
        "results": encode_blocks(step.results),
        "spend": spend_attribute(step.spend),
        "iterations": step.iterations,
        "model": step.model,
        "takeover": step.is_takeover,
        "thinking_from": step.thinking_from,
    }
    return {name: value for name, value in fields.items() if value}


def _decode(content: Mapping[str, Any]) -> Step:
    results = decode_blocks(content.get("results"))
    return Step(
        messages=tuple(decode_message(each) for each in content.get("messages", ())),
        made=tuple(content.get("made", ())),
        results=tuple(each for each in results if isinstance(each, ToolResult)),
        spend=read_spend(content.get("spend")),
        iterations=content.get("iterations", 0),
        model=content.get("model", ""),
        is_takeover=content.get("takeover", False),
        thinking_from=content.get("thinking_from", 0),
    )


def unseen_events(
    messages: Sequence[Message], results: Mapping[str, ToolResult], stored: Sequence[RunEvent]
) -> Iterator[LoopEvent]:
    """Yield the events of messages and of the results of their last calls that are not among the stored events."""
    shown = {(event.type, event.data.get("tool_call_id")) for event in stored}
    written, told, known = 0, len(streamed_text(stored)), dict(results)
    for message in messages:
        known |= {block.tool_use_id: block for block in message.content if isinstance(block, ToolResult)}
    for message in messages:
        if message.role == "assistant" and message.text:
            text = (STEP_SEPARATOR if written else "") + message.text
            if written + len(text) > told:
                yield TextEvent(text[max(0, told - written) :])
            written += len(text)
        asked = [block for block in message.content if isinstance(block, ToolUse)]
        yield from (ToolCallEvent(call) for call in asked if ("tool_call", call.id) not in shown)
        for call in asked:
            if call.id in known and ("tool_result", call.id) not in shown:
                yield ToolResultEvent(call, ToolAnswer(known[call.id].content, known[call.id].is_error))


def streamed_text(events: Iterable[RunEvent]) -> str:
    """Return the joined text of all `text` events."""
    return "".join(str(event.data["content"]) for event in events if event.type == "text")


def unrecorded_text(events: Sequence[RunEvent], messages: Sequence[Message]) -> str:
    """Return the text of the events that follows the text of the messages."""
    text, recorded = streamed_text(events), answer_text(messages)
    return text.removeprefix(recorded).removeprefix(STEP_SEPARATOR) if text.startswith(recorded) else ""


def shown_results(events: Iterable[RunEvent]) -> dict[str, ToolResult]:
    """Return the tool results that the events contain, by tool call id."""
    found = decode_blocks([{**event.data, "type": event.type} for event in events if event.type == "tool_result"])
    return {block.tool_use_id: block for block in found if isinstance(block, ToolResult)}
