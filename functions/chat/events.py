"""Response models of a run's events, for streams and long polling."""

import operator
from typing import Annotated, Any, Literal, get_args

from atrium.agent.loop import LoopStop
from atrium.http.content import TextOrImage
from atrium.http.models import StrictModel
from atrium.http.responses import Problem
from pydantic import Field, JsonValue, TypeAdapter, WithJsonSchema


def _names(kind: Any) -> list[str]:
    """Return the values of a Literal type or of a union of Literal types."""
    found = [
        _names(each) if not isinstance(each, str) else [each] for each in get_args(getattr(kind, "__value__", kind))
    ]
    return [name for names in found for name in names]


StopReason = Annotated[str, WithJsonSchema({"type": "string", "enum": sorted({*_names(LoopStop)})})]
"""Why a turn ended. The OpenAPI document lists the values."""


class RoutingAnswer(StrictModel):
    """Why the routing rules chose a model."""

    rule: str
    """Name of the rule. The names of the shipped rules begin with `builtin:`."""
    reason: str
    """Conditions that were met, and how the model was chosen from the models of the rule."""


RoutingField = Annotated[RoutingAnswer | None, Field(exclude_if=operator.not_)]


class StartData(StrictModel):
    """Ids and model of an admitted turn."""

    session_id: str | None
    """Id of the turn's session. Null for a call of a compatible endpoint that belongs to no session."""
    run_id: str
    """Id of the run that records the turn."""
    model: str
    """Id of the model that generates the answer."""
    routing: RoutingField = None
    """Why the model was chosen. Absent if the agent or the request has a fixed model."""


class PieceData(StrictModel):
    """A chunk of text."""

    content: str
    """The chunk. Append it to the previous chunks."""


class ToolCallData(StrictModel):
    """A tool call that the model requested."""

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
    result: str | list[TextOrImage]
    """Result that was sent to the model: text, or a list of text and image blocks."""
    is_error: bool
    """Whether the tool failed."""


class FinalData(StrictModel):
    """The answer of an ended turn."""

    message_id: str | None
    """Id of the last assistant message. Null if the turn was stopped before the model produced output."""
    content: str
    """Text of the answer."""
    stop_reason: StopReason | None
    """Why the turn ended. Null if the reason is unknown."""
    degraded: bool
    """Whether the answer is from a fallback model or is the agent's fallback text."""
    stop_sequence: Annotated[str | None, Field(exclude_if=operator.not_)] = None
    """The stop sequence that ended the answer, in a run of a compatible endpoint. Absent otherwise."""


class UsageAnswer(StrictModel):
    """Tokens, tool calls and cost of a run."""

    input_tokens: int
    """Input tokens that were not read from or written to the prompt cache."""
    output_tokens: int
    """Output tokens, including thinking."""
    cache_read_tokens: int
    """Input tokens read from the provider's prompt cache."""
    cache_write_tokens: int
    """Input tokens written to the provider's prompt cache."""
    tool_calls: int
    """Number of executed tool calls."""
    cost_usd: str
    """Cost in USD as decimal text with six decimals."""
    estimated: Annotated[bool, Field(exclude_if=operator.not_)] = False
    """True if the provider did not report a figure and the platform estimated it. Absent otherwise."""


class _Event(StrictModel):
    id: Annotated[int, Field(ge=1)]
    """Sequence number of the event in its run: 1, 2, 3 …, with one gap of 1,000 if a worker resumed the run."""


class StartEvent(_Event):
    """The turn was admitted. This is the first event, sent before the model answers."""

    event: Literal["start"]
    """Type of the event."""
    data: StartData
    """Ids of the session, run and model."""


class TextEvent(_Event):
    """A chunk of the answer."""

    event: Literal["text"]
    """Type of the event."""
    data: PieceData
    """The chunk of text."""


class ThinkingEvent(_Event):
    """A chunk of the model's thinking."""

    event: Literal["thinking"]
    """Type of the event."""
    data: PieceData
    """The chunk of text."""


class ToolCallEvent(_Event):
    """The model requested a tool call."""

    event: Literal["tool_call"]
    """Type of the event."""
    data: ToolCallData
    """The tool call."""


class ToolResultEvent(_Event):
    """A tool call has ended."""

    event: Literal["tool_result"]
    """Type of the event."""
    data: ToolResultData
    """The tool result."""


class ApprovalRequiredEvent(_Event):
    """A tool call waits for approval. The stream ends after these events; the run continues after the decisions."""

    event: Literal["approval_required"]
    """Type of the event."""
    data: ToolCallData
    """The tool call that waits for approval."""


class UsageEvent(_Event):
    """Usage and cost of the turn, sent before `final`."""

    event: Literal["usage"]
    """Type of the event."""
    data: UsageAnswer
    """Usage and cost."""


class FinalEvent(_Event):
    """The turn has ended. This is the last event of the stream."""

    event: Literal["final"]
    """Type of the event."""
    data: FinalData
    """The complete answer."""


class ErrorEvent(_Event):
    """The turn failed. This is the last event of the stream."""

    event: Literal["error"]
    """Type of the event."""
    data: Problem
    """The error, in the format of an error response."""


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
    """Events of a run, in order."""

    data: list[RunEventAnswer]
    """Events, ordered by sequence number. Empty if there was no event within `wait` seconds."""
    ended: bool
    """Whether the run's last event is in `data` or was returned before."""
