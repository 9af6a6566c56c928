"""The request of `POST /v1/messages` and `/v1/messages/count_tokens`, in Anthropic's format.

Fields that change nothing on this platform are accepted only with the values that have no effect.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from atrium.agent.model import TurnRequest
from atrium.context.caller import CallerOptions
from atrium.http.content import ImageBlock, TextBlock
from atrium.http.fields import EndUser, OrNone
from atrium.http.models import StrictModel
from atrium.llm.model import (
    Block,
    Effort,
    Image,
    ModelMessage,
    NamedTool,
    OutputSchema,
    ResultContent,
    Text,
    Thinking,
    ToolResult,
    ToolSchema,
    ToolUse,
)
from pydantic import Field

from functions.chat.caller_turns import address, split_dialog
from functions.chat.vendor_fields import (
    MESSAGES_MAX,
    PARTS_MAX,
    TOOLS_MAX,
    Arguments,
    CallId,
    JsonSchema,
    LongText,
    ObjectSchema,
    ShortText,
    Tokens,
    ToolName,
    text_or_list,
)

CALL_PREFIX = "toolu"


class CacheControl(StrictModel):
    """Accepted, without effect: the platform caches prompts without it."""

    type: Literal["ephemeral"]
    """Type of the cache."""
    ttl: Literal["5m", "1h"] | None = None
    """Lifetime of the cache entry."""


class _Cached(StrictModel):
    cache_control: CacheControl | None = None
    """Accepted, without effect: the platform caches prompts without it."""


class MessageText(_Cached, TextBlock):
    """A block with text."""

    text: LongText
    """The text."""
    citations: None = None
    """Must be null, as in an answer without citations."""


class MessageImage(_Cached, ImageBlock):
    """A block with an image."""


class SentThinking(StrictModel):
    """Thinking of an earlier answer, as it was received."""

    type: Literal["thinking"]
    """Type of the block."""
    thinking: LongText
    """The text."""
    signature: LongText
    """The provider's signature. A block with an empty signature is not sent to the model."""


class SentRedactedThinking(StrictModel):
    """Encrypted thinking of an earlier answer, as it was received."""

    type: Literal["redacted_thinking"]
    """Type of the block."""
    data: LongText
    """The encrypted text."""


class SentToolUse(_Cached):
    """A call of one of your tools in an earlier answer."""

    type: Literal["tool_use"]
    """Type of the block."""
    id: CallId
    """Id of the call."""
    name: ToolName
    """Name of the tool."""
    input: Arguments
    """The arguments."""
    caller: JsonSchema | None = None
    """Accepted, without effect, so that an answer can be sent back as it was received."""


type ResultBlock = Annotated[MessageText | MessageImage, Field(discriminator="type")]
_ResultList = Annotated[list[ResultBlock], Field(max_length=PARTS_MAX)]
_TextList = Annotated[list[MessageText], Field(max_length=PARTS_MAX)]


class SentToolResult(_Cached):
    """The result of a call of one of your tools."""

    type: Literal["tool_result"]
    """Type of the block."""
    tool_use_id: CallId
    """Id of the call."""
    content: Annotated[_ResultList, text_or_list(_ResultList)] = Field(default_factory=list)
    """The result: a text, or text and image blocks."""
    is_error: bool = False
    """Whether the tool failed."""


type UserBlock = Annotated[MessageText | MessageImage | SentToolResult, Field(discriminator="type")]
type AnswerBlock = Annotated[
    MessageText | SentThinking | SentRedactedThinking | SentToolUse, Field(discriminator="type")
]


_UserList = Annotated[list[UserBlock], Field(min_length=1, max_length=PARTS_MAX)]
_AnswerList = Annotated[list[AnswerBlock], Field(max_length=PARTS_MAX)]


class UserTurn(StrictModel):
    """A message of the user."""

    role: Literal["user"]
    """Author of the message."""
    content: Annotated[_UserList, text_or_list(_UserList)]
    """A text, or a list of blocks."""


class AssistantTurn(StrictModel):
    """An earlier answer."""

    role: Literal["assistant"]
    """Author of the message."""
    content: Annotated[_AnswerList, text_or_list(_AnswerList)]
    """A text, or a list of blocks."""


class CustomTool(_Cached):
    """One of your tools. Your program executes its calls."""

    type: Literal["custom"] | None = None
    """Type of the tool."""
    name: ToolName
    """Name, 1 to 64 letters, digits, `_` or `-`."""
    description: ShortText = ""
    """What the tool does and when to call it."""
    input_schema: ObjectSchema
    """JSON Schema of the arguments, an object."""
    strict: bool | None = None
    """Accepted, without effect: arguments are sent to you as the model wrote them."""


class AnyChoice(StrictModel):
    """The model decides (`auto`), or must call any tool (`any`)."""

    type: Literal["auto", "any"]
    """Type of the choice."""
    disable_parallel_tool_use: bool = False
    """Whether an answer may have at most one call."""


class NoChoice(StrictModel):
    """The model must not call tools."""

    type: Literal["none"]
    """Type of the choice."""


class ToolNameChoice(StrictModel):
    """The model must call one tool."""

    type: Literal["tool"]
    """Type of the choice."""
    name: ToolName
    """Name of one of `tools`."""
    disable_parallel_tool_use: bool = False
    """Whether an answer may have at most one call."""


class ThinkingConfig(StrictModel):
    """Whether the model thinks before it answers."""

    type: Literal["enabled", "adaptive", "disabled"]
    """`disabled`: no thinking. Otherwise the model decides how much it thinks, and the answer has its thinking."""
    budget_tokens: Annotated[int, Field(ge=1024, le=10_000_000)] | None = None
    """Accepted, without effect: the model decides how much it thinks."""
    display: Literal["summarized", "omitted"] | None = None
    """`omitted`: the thinking is not part of the answer."""


class SchemaFormat(StrictModel):
    """The answer is a JSON object that fits a schema."""

    type: Literal["json_schema"]
    """Type of the format."""
    schema_: Annotated[JsonSchema, Field(alias="schema")]
    """JSON Schema of the answer, an object."""


class OutputConfig(StrictModel):
    """Options of the answer."""

    format: SchemaFormat | None = None
    """Format of the answer. Default: text."""
    effort: Effort | None = None
    """How much the model thinks and writes."""


class Metadata(StrictModel):
    """Data about the request."""

    user_id: OrNone[EndUser] = None
    """Identifier of the person who uses a shared API key, at most 128 visible characters."""


class CountBody(StrictModel):
    """A conversation whose tokens are counted."""

    model: Annotated[str, Field(min_length=1, max_length=128)]
    """Id of a model, or id or name of an agent, or `auto`."""
    messages: Annotated[
        list[Annotated[UserTurn | AssistantTurn, Field(discriminator="role")]],
        Field(min_length=1, max_length=MESSAGES_MAX),
    ]
    """The conversation, oldest message first. The last message must be of the role `user`. With the header
    `X-Session-ID`, only the messages after the last one of the role `assistant` are used.
    """
    system: Annotated[_TextList, text_or_list(_TextList)] | None = None
    """Instructions, after those of the agent."""
    tools: Annotated[list[CustomTool], Field(max_length=TOOLS_MAX)] | None = None
    """Your tools, which the model may call. Your program executes the calls. The platform calls the tools of an agent
    itself, and they are not part of the answer.
    """
    tool_choice: Annotated[AnyChoice | NoChoice | ToolNameChoice, Field(discriminator="type")] | None = None
    """Whether the model must call a tool."""
    thinking: ThinkingConfig | None = None
    """Whether the model thinks, and whether its thinking is part of the answer. Default: it is not."""
    output_config: OutputConfig | None = None
    """Options of the answer."""

    def to_domain(self, session_id: str | None) -> TurnRequest:
        """Return the request of the turn. Raise `ValidationFailed` for an invalid conversation."""
        dialog, question = split_dialog([_message(each) for each in self.messages], session_id)
        caller = CallerOptions(
            dialog=dialog,
            system="\n\n".join(block.text for block in self.system or ()),
            tools=tuple(ToolSchema(tool.name, tool.description, tool.input_schema) for tool in self.tools or ()),
            call_prefix=CALL_PREFIX,
            max_tokens=self._max_tokens(),
            options=dict(self._options()),
        )
        return TurnRequest(
            question, session_id=session_id, end_user=self._end_user(), caller=caller, **address(self.model)
        )

    def _max_tokens(self) -> int | None:
        return None

    def _end_user(self) -> str:
        return ""

    def _options(self) -> Iterator[tuple[str, Any]]:
        """Yield the fields of the model request that the body sets."""
        match self.tool_choice:
            case ToolNameChoice(name=name):
                yield "tool_choice", NamedTool(name)
            case NoChoice():
                yield "tool_choice", "none"
            case AnyChoice(type=kind):
                yield "tool_choice", "required" if kind == "any" else "auto"
        if isinstance(self.tool_choice, AnyChoice | ToolNameChoice) and self.tool_choice.disable_parallel_tool_use:
            yield "parallel_tool_calls", False
        if self.thinking is not None and self.thinking.type == "disabled":
            yield "thinking", "off"
        if self.output_config is not None and self.output_config.format is not None:
            yield "output_format", OutputSchema("answer", self.output_config.format.schema_)
        if self.output_config is not None and self.output_config.effort is not None:
            yield "effort", self.output_config.effort


_Stop = Annotated[str, Field(min_length=1, max_length=1_000)]


class MessageBody(CountBody):
    """A conversation whose next answer is requested."""

    max_tokens: Tokens
    """Maximum tokens of the answer. A larger number than the model's maximum means this maximum."""
    stream: bool = False
    """Whether the answer is sent as a stream of events."""
    stop_sequences: Annotated[list[_Stop], Field(max_length=16)] | None = None
    """Texts that end the answer."""
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    """Sampling temperature, for models that accept one."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the probability from which tokens are sampled, for models that accept it."""
    top_k: None = None
    """Not supported; must be null."""
    metadata: Metadata | None = None
    """Data about the request."""
    service_tier: Literal["auto", "standard_only"] | None = None
    """Accepted, without effect."""

    def _max_tokens(self) -> int | None:
        return self.max_tokens

    def _end_user(self) -> str:
        return (self.metadata.user_id if self.metadata else None) or ""

    def _options(self) -> Iterator[tuple[str, Any]]:
        yield from super()._options()
        if self.stop_sequences:
            yield "stop_sequences", tuple(self.stop_sequences)
        if self.temperature is not None:
            yield "temperature", self.temperature
        if self.top_p is not None:
            yield "top_p", self.top_p

    @property
    def shows_thinking(self) -> bool:
        return self.thinking is not None and self.thinking.type != "disabled" and self.thinking.display != "omitted"


def _message(message: UserTurn | AssistantTurn) -> ModelMessage:
    return ModelMessage(message.role, tuple(block for each in message.content for block in _blocks(each)))


def _blocks(
    block: MessageText | MessageImage | SentToolResult | SentThinking | SentRedactedThinking | SentToolUse,
) -> Iterator[Block]:
    """Yield the block of the platform, or nothing for thinking without a signature."""
    match block:
        case MessageText(text=text):
            yield Text(text)
        case MessageImage(source=source):
            yield Image(source.media_type, source.data)
        case SentThinking(thinking=text, signature=signature):
            if signature:
                yield Thinking(text, signature)
        case SentRedactedThinking(data=data):
            yield Thinking("", data, redacted=True)
        case SentToolUse():
            yield ToolUse(block.id, block.name, block.input)
        case SentToolResult(content=parts):
            yield ToolResult(block.tool_use_id, _result(parts), block.is_error)


def _result(parts: Sequence[MessageText | MessageImage]) -> ResultContent:
    """Return the content of a result. Text without images is a string."""
    if all(isinstance(part, MessageText) for part in parts):
        return "\n".join(part.text for part in parts if isinstance(part, MessageText))
    return tuple(_part(part) for part in parts)


def _part(part: MessageText | MessageImage) -> Text | Image:
    if isinstance(part, MessageText):
        return Text(part.text)
    return Image(part.source.media_type, part.source.data)
