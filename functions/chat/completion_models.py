"""The request and the answer of `POST /v1/chat/completions`, in OpenAI's format.

Fields that change nothing on this platform are accepted only with the values that have no effect.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from atrium.agent.model import TurnRequest
from atrium.context.caller import CallerOptions
from atrium.http.fields import EndUser, OrNone
from atrium.http.models import StrictModel
from atrium.llm.model import (
    NamedTool,
    OutputSchema,
    ToolSchema,
)
from pydantic import BeforeValidator, Field

from functions.chat.caller_turns import address, split_dialog
from functions.chat.completion_parts import CompletionMessage, SystemMessage, join_text, read_messages
from functions.chat.vendor_fields import (
    MESSAGES_MAX,
    TOOLS_MAX,
    JsonSchema,
    ObjectSchema,
    ShortText,
    Tokens,
    ToolName,
)

_Zero = Annotated[float, Field(ge=0, le=0)]
CALL_PREFIX = "call"
_NO_ARGUMENTS = {"type": "object", "properties": {}}
_MetadataName = Annotated[str, Field(max_length=64)]
_MetadataText = Annotated[str, Field(max_length=512)]


class FunctionDefinition(StrictModel):
    """A function that the model may call."""

    name: ToolName
    """Name, 1 to 64 letters, digits, `_` or `-`."""
    description: ShortText = ""
    """What the function does and when to call it."""
    parameters: ObjectSchema | None = None
    """JSON Schema of the arguments, an object. Default: no arguments."""
    strict: bool | None = None
    """Accepted, without effect: arguments are sent to you as the model wrote them."""


class FunctionTool(StrictModel):
    """One of your functions. Your program executes its calls."""

    type: Literal["function"]
    """Type of the tool."""
    function: FunctionDefinition
    """The function."""


class FunctionName(StrictModel):
    """Name of a function."""

    name: ToolName
    """Name of one of `tools`."""


class NamedFunction(StrictModel):
    """The choice of one function."""

    type: Literal["function"]
    """Type of the tool."""
    function: FunctionName
    """The function."""


class PlainChoice(StrictModel):
    """Whether the model may, must or must not call a function. The same as its `type` alone."""

    type: Literal["none", "auto", "required"]
    """The choice."""


def _as_choice(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


type ToolChoicePart = Annotated[PlainChoice | NamedFunction, Field(discriminator="type")]
_TEXT_CHOICE = BeforeValidator(_as_choice, json_schema_input_type=Literal["none", "auto", "required"] | NamedFunction)


class JsonSchemaFormat(StrictModel):
    """A JSON Schema for the answer."""

    name: ToolName
    """Name of the schema, 1 to 64 letters, digits, `_` or `-`."""
    description: ShortText = ""
    """What the answer is."""
    schema_: Annotated[JsonSchema, Field(alias="schema")]
    """The schema, an object."""
    strict: bool | None = None
    """Whether the model must follow the schema exactly. Only a part of JSON Schema is then possible."""


class SchemaResponseFormat(StrictModel):
    """The answer is a JSON object that fits a schema."""

    type: Literal["json_schema"]
    """Type of the format."""
    json_schema: JsonSchemaFormat
    """The schema."""


class PlainResponseFormat(StrictModel):
    """The answer is text or any JSON object."""

    type: Literal["text", "json_object"]
    """Type of the format."""


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


_Stop = Annotated[str, Field(min_length=1, max_length=1_000)]
_Stops = Annotated[list[_Stop], Field(max_length=4)]


class StreamOptions(StrictModel):
    """Options of a stream."""

    include_usage: bool = False
    """Whether a last chunk has the usage."""
    include_obfuscation: bool = False
    """Accepted, without effect."""


class CompletionBody(StrictModel):
    """A conversation whose next answer is requested."""

    model: Annotated[str, Field(min_length=1, max_length=128)]
    """Id of a model, or id or name of an agent, or `auto`."""
    messages: Annotated[list[CompletionMessage], Field(min_length=1, max_length=MESSAGES_MAX)]
    """The conversation, oldest message first. The last message must be of the role `user` or `tool`. With the header
    `X-Session-ID`, only the messages after the last one of the role `assistant` are used.
    """
    stream: bool | None = None
    """Whether the answer is sent in chunks."""
    stream_options: StreamOptions | None = None
    """Options of the stream."""
    max_completion_tokens: Tokens | None = None
    """Maximum tokens of the answer. Default: the agent's maximum, or 16,384 without an agent. A larger number than the
    model's maximum means this maximum.
    """
    max_tokens: Tokens | None = None
    """Older name of `max_completion_tokens`."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Sampling temperature, for models that accept one."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the probability from which tokens are sampled, for models that accept it."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    """Seed of the sampling, for models that accept one."""
    stop: Annotated[_Stops, BeforeValidator(_as_list, json_schema_input_type=_Stop | _Stops)] | None = None
    """Up to four texts that end the answer."""
    tools: Annotated[list[FunctionTool], Field(max_length=TOOLS_MAX)] | None = None
    """Your functions, which the model may call. Your program executes the calls. The platform calls the tools of an
    agent itself, and they are not part of the answer.
    """
    tool_choice: Annotated[ToolChoicePart, _TEXT_CHOICE] | None = None
    """Whether the model must call a function."""
    parallel_tool_calls: bool | None = None
    """Whether an answer may have several calls. Default true."""
    response_format: Annotated[PlainResponseFormat | SchemaResponseFormat, Field(discriminator="type")] | None = None
    """Format of the answer."""
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    """How much the model thinks."""
    user: OrNone[EndUser] = None
    """Identifier of the person who uses a shared API key, at most 128 visible characters."""
    safety_identifier: OrNone[EndUser] = None
    """Newer name of `user`."""
    metadata: Annotated[dict[_MetadataName, _MetadataText], Field(max_length=16)] | None = None
    """Your data, stored with the run."""
    n: Literal[1] | None = None
    """Number of answers: 1."""
    logprobs: Literal[False] | None = None
    """Not supported; must be false."""
    frequency_penalty: _Zero | None = None
    """Not supported; must be 0."""
    presence_penalty: _Zero | None = None
    """Not supported; must be 0."""
    store: Literal[False] | None = None
    """Not supported; must be false."""
    service_tier: Literal["auto", "default"] | None = None
    """Accepted, without effect."""
    prompt_cache_key: ShortText | None = None
    """Accepted, without effect: prompts are cached without it."""

    def to_domain(self, session_id: str | None) -> TurnRequest:
        """Return the request of the turn. Raise `ValidationFailed` for an invalid conversation."""
        system = [join_text(each.content) for each in self.messages if isinstance(each, SystemMessage)]
        dialog, question = split_dialog(list(read_messages(self.messages)), session_id)
        caller = CallerOptions(
            dialog=dialog,
            system="\n\n".join(system),
            tools=tuple(_schema(tool.function) for tool in self.tools or ()),
            call_prefix=CALL_PREFIX,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            options=dict(self._options()),
        )
        return TurnRequest(
            question,
            session_id=session_id,
            end_user=self.safety_identifier or self.user or "",
            metadata=self.metadata or {},
            caller=caller,
            **address(self.model),
        )

    def _options(self) -> Iterator[tuple[str, Any]]:
        """Yield the fields of the model request that the body sets."""
        for name in ("temperature", "top_p", "seed", "parallel_tool_calls"):
            value = getattr(self, name)
            if value is not None:
                yield name, value
        if self.stop:
            yield "stop_sequences", tuple(self.stop)
        if self.tool_choice is not None:
            choice = self.tool_choice
            yield "tool_choice", choice.type if isinstance(choice, PlainChoice) else NamedTool(choice.function.name)
        match self.response_format:
            case PlainResponseFormat(type=kind):
                yield "output_format", kind
            case SchemaResponseFormat(json_schema=given):
                yield "output_format", OutputSchema(given.name, given.schema_, given.description, bool(given.strict))
        match self.reasoning_effort:
            case "none":
                yield "thinking", "off"
            case str(effort):
                yield "effort", "low" if effort == "minimal" else effort


def _schema(function: FunctionDefinition) -> ToolSchema:
    return ToolSchema(function.name, function.description, function.parameters or _NO_ARGUMENTS)
