"""The events of a run as the contract has them: what a stream sends, and what a long poll answers."""

import operator
from typing import Annotated, Any, Literal, get_args

from atrium.agent.loop import LoopStop
from atrium.http.models import StrictModel
from atrium.http.responses import Problem
from pydantic import Field, JsonValue, TypeAdapter, WithJsonSchema


def _names(kind: Any) -> list[str]:
    """Return the values of a union of literals."""
    found = [
        _names(each) if not isinstance(each, str) else [each] for each in get_args(getattr(kind, "__value__", kind))
    ]
    return [name for names in found for name in names]


StopReason = Annotated[str, WithJsonSchema({"type": "string", "enum": sorted({*_names(LoopStop)})})]
"""Why a turn ended; the document lists the values."""


class StartData(StrictModel):
    """The turn was admitted."""

    session_id: str
    """Session of the turn."""
    run_id: str
    """Run that records the turn."""
    model: str
    """Model that answers."""


class PieceData(StrictModel):
    """A piece of text."""

    content: str
    """The piece; append it to those before."""


class ToolCallData(StrictModel):
    """A tool call of the model."""

    tool_call_id: str
    """Id of the call, unique in the run."""
    tool: str
    """Name of the tool."""
    args: dict[str, JsonValue]
    """Arguments of the call."""


class ToolResultData(StrictModel):
    """The result of a tool call."""

    tool_call_id: str
    """Id of the call, unique in the run."""
    tool: str
    """Name of the tool."""
    result: str
    """What the model was told."""
    is_error: bool
    """Whether the tool failed."""


class FinalData(StrictModel):
    """The end of a turn."""

    message_id: str | None
    """Id of the assistant's last message. Null if the model wrote nothing before it was stopped."""
    content: str
    """Text of the answer."""
    stop_reason: StopReason | None
    """Why the turn ended. Null if unknown."""
    degraded: bool
    """Whether a fallback model or the fallback text of the agent answered."""


class UsageAnswer(StrictModel):
    """What a run used; money in USD to six decimals. `estimated` is there where the provider left a figure out."""

    input_tokens: int
    """Input tokens that were not read from or written to the prompt cache."""
    output_tokens: int
    """Output tokens, thinking included."""
    cache_read_tokens: int
    """Input tokens read from the provider's prompt cache."""
    cache_write_tokens: int
    """Input tokens written to the provider's prompt cache."""
    tool_calls: int
    """Tool calls that were made."""
    cost_usd: str
    """Cost in USD as decimal text with six decimals."""
    estimated: Annotated[bool, Field(exclude_if=operator.not_)] = False
    """True if the provider did not report a figure and the platform estimated it. Absent otherwise."""


class _Event(StrictModel):
    id: Annotated[int, Field(ge=1)]
    """Number of the event in its run: 1, 2, 3 … without a gap."""


class StartEvent(_Event):
    """Sent first, as soon as the turn is admitted and before the model answers."""

    event: Literal["start"]
    """Type of the event."""
    data: StartData
    """Session, run and model."""


class TextEvent(_Event):
    """A piece of the answer."""

    event: Literal["text"]
    """Type of the event."""
    data: PieceData
    """The piece of text."""


class ThinkingEvent(_Event):
    """A piece of the model's thinking."""

    event: Literal["thinking"]
    """Type of the event."""
    data: PieceData
    """The piece of text."""


class ToolCallEvent(_Event):
    """The model calls a tool."""

    event: Literal["tool_call"]
    """Type of the event."""
    data: ToolCallData
    """The call."""


class ToolResultEvent(_Event):
    """A tool call has ended."""

    event: Literal["tool_result"]
    """Type of the event."""
    data: ToolResultData
    """The result."""


class ApprovalRequiredEvent(_Event):
    """A tool call waits for an approval. No built-in tool needs one."""

    event: Literal["approval_required"]
    """Type of the event."""
    data: ToolCallData
    """The call that waits."""


class UsageEvent(_Event):
    """What the turn used and cost; sent before `final`."""

    event: Literal["usage"]
    """Type of the event."""
    data: UsageAnswer
    """The figures."""


class FinalEvent(_Event):
    """The turn has ended. The last event of its stream."""

    event: Literal["final"]
    """Type of the event."""
    data: FinalData
    """The whole answer."""


class ErrorEvent(_Event):
    """The turn failed. The last event of its stream."""

    event: Literal["error"]
    """Type of the event."""
    data: Problem
    """Why, as in an error response."""


type RunEventAnswer = Annotated[
    StartEvent
    | TextEvent
    | ThinkingEvent
    | ToolCallEvent
    | ToolResultEvent
    | ApprovalRequiredEvent
    | UsageEvent
    | FinalEvent
    | ErrorEvent,
    Field(discriminator="event"),
]

EVENT: TypeAdapter[RunEventAnswer] = TypeAdapter(RunEventAnswer)


class EventsAnswer(StrictModel):
    """A run's events in order."""

    data: list[RunEventAnswer]
    """Events in order of their numbers. Empty if none came within `wait` seconds."""
    ended: bool
    """Whether the run's last event is in `data` or came before it."""
