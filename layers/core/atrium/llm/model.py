"""The interface of all providers: blocks, messages, requests, events and streams. It imports no SDK.

    ModelProvider.open(request) -> ModelStream -> TextDelta | ThinkingDelta … then one Completed, always last

A stream that ends without `Completed` has raised an error or was closed. `usage` is valid in every case.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

UNSIGNED = "unsigned"
"""The signature of a thinking block of a provider that does not sign its thinking. Only such a provider gets the block
back.
"""

type Role = Literal["user", "assistant"]
type StopReason = Literal[
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "context_overflow"
]
type Effort = Literal["low", "medium", "high", "xhigh", "max"]


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a message or tool result. `data` is the file in base64; `llm.content` has the valid media types."""

    media_type: str
    data: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Thinking:
    """A thinking block, with the signature that the provider requires when the block is sent back.

    A `redacted` block has no text; its `signature` is the provider's opaque data.
    """

    text: str
    signature: str
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call that the model requests. `input` is JSON that the tool has not yet validated.

    `problem` is the reason why the call cannot be executed, or "". It is sent to the model as the tool result.
    """

    id: str
    name: str
    input: Mapping[str, Any]
    problem: str = ""


type Content = tuple[Text | Image, ...]
type ResultContent = str | Content
"""The content of a tool result. Text without images is a string."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    tool_use_id: str
    content: ResultContent
    is_error: bool = False


type Block = Text | Image | Thinking | ToolUse | ToolResult


def texts_of(content: "Sequence[Block]") -> list[str]:
    return [block.text for block in content if isinstance(block, Text)]


@dataclass(frozen=True, slots=True)
class ModelMessage:
    role: Role
    content: tuple[Block, ...]


def turn_start(messages: Sequence[ModelMessage]) -> int:
    """Return the position of the newest message that the user wrote. A message with only tool results continues the
    turn.
    """
    written = (
        at
        for at, message in enumerate(messages)
        if message.role == "user" and any(isinstance(block, Text | Image) for block in message.content)
    )
    return max(written, default=0)


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A tool as described to the model. `input_schema` is the JSON Schema of an object."""

    name: str
    description: str
    input_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NamedTool:
    """The choice of one tool, which the model must call."""

    name: str


type ToolChoice = Literal["auto", "none", "required"] | NamedTool


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """A JSON Schema for the answer, which is then the text of a JSON object.

    A model enforces the schema if it can. Otherwise the schema is part of the system prompt. With `strict`, only a
    schema that models can enforce is accepted (`llm.schemas`).
    """

    name: str
    schema: Mapping[str, Any]
    description: str = ""
    strict: bool = False


type OutputFormat = Literal["text", "json_object"] | OutputSchema


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A request for one model call. The first and last messages are the user's, and every tool use has a result.

    `fallbacks` are models that are called if `model` fails before its answer begins.

    A model may not accept every option; `llm.catalogue.check_options` raises `ValidationFailed` for those. None means
    the default of the model.

        tool_choice          "auto"; "none": no tool may be called; "required": a tool must be called; or this tool.
                             A model that must call a tool does not think
        parallel_tool_calls  False: at most one tool call per answer
        output_format        "text"; "json_object": any JSON object; or a JSON object that fits a schema
        thinking             "auto": the model decides; "off": no thinking before the answer
        effort               how much the model thinks and writes
        stop_sequences       texts that end the answer. They are not part of it
        reminder             a text of the platform after all messages, which no later request contains and which is
                             not part of the prompt cache
    """

    model: str
    system: str
    messages: tuple[ModelMessage, ...]
    max_tokens: int
    tools: tuple[ToolSchema, ...] = ()
    tool_choice: ToolChoice = "auto"
    temperature: float | None = None
    stop_sequences: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    parallel_tool_calls: bool = True
    output_format: OutputFormat = "text"
    thinking: Literal["auto", "off"] = "auto"
    effort: Effort | None = None
    top_p: float | None = None
    seed: int | None = None
    reminder: str = ""

    @property
    def forces_tool(self) -> bool:
        """Return whether the answer must have a tool call."""
        return self.tool_choice not in {"auto", "none"}


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts. `input_tokens` are prompt tokens that were neither read from nor written to the provider's cache.

    `estimated` means that the provider did not report all counts. Comparisons ignore this field.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    estimated: bool = field(default=False, compare=False, kw_only=True)

    def __add__(self, other: Self) -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            estimated=self.estimated or other.estimated,
        )

    @property
    def prompt_tokens(self) -> int:
        """Return the number of prompt tokens, cached or not."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    text: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The complete answer. The stop reason `context_overflow` means that the prompt, or the prompt with the answer,
    exceeded the context window.

    `stop_sequence` is the requested sequence that ended the answer, or None if there was none or the provider does not
    report it. Such a provider reports the stop reason `end_turn`.
    """

    content: tuple[Block, ...]
    stop_reason: StopReason
    usage: Usage = field(default_factory=Usage)
    stop_sequence: str | None = None


type ModelEvent = TextDelta | ThinkingDelta | Completed


class ModelStream(Protocol):
    """A model's answer while it is received. It may be iterated once."""

    def __iter__(self) -> Iterator[ModelEvent]:
        """Yield deltas, then `Completed`. Raise `ModelFailed` or `ModelTimeout`. After `close`, the iteration ends
        without an error.
        """
        ...

    def close(self) -> None:
        """End the provider's response immediately. Can be called from any thread and more than once."""
        ...

    @property
    def model(self) -> str:
        """The model that answers, or the last model that was called."""
        ...

    @property
    def usage(self) -> Usage:
        """The usage known so far. It is also valid after a failure or `close`."""
        ...


class ModelProvider(Protocol):
    """An adapter to a model provider. Thread-safe."""

    @property
    def name(self) -> str: ...

    def open(self, request: ModelRequest, *, deadline_seconds: float) -> ModelStream:
        """Begin a call that ends within `deadline_seconds` from now.

        Retries failed attempts within the deadline, until the first output is received. Raises `ModelFailed`,
        `ModelTimeout`, or `ValidationFailed` if the model does not support the request.
        """
        ...

    def count_tokens(self, request: ModelRequest) -> int:
        """Return the number of prompt tokens as counted by the provider.

        Raises the same errors as `open`, and `ProviderUnsupported` if the provider cannot count tokens.
        """
        ...
