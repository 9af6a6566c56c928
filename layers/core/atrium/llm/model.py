"""The interface of all providers: blocks, messages, requests, events, streams. Imports no SDK.

    ModelProvider.open(request) -> ModelStream -> TextDelta | ThinkingDelta … then one Completed, always last

A stream that ends without `Completed` has raised or was closed; `usage` is valid in every case.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

type Role = Literal["user", "assistant"]
type StopReason = Literal[
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "context_overflow"
]


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """A thinking block, with the signature that the provider needs to accept it back unchanged.

    A `redacted` block has no text; its `signature` is the provider's opaque data.
    """

    text: str
    signature: str
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call that the model asks for. `input` is JSON, not yet validated by the tool.

    `problem` is why the call cannot be executed ("" if it can); the model gets it in place of a result.
    """

    id: str
    name: str
    input: Mapping[str, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ToolResult:
    tool_use_id: str
    content: str
    is_error: bool = False


type Block = Text | Thinking | ToolUse | ToolResult


@dataclass(frozen=True, slots=True)
class ModelMessage:
    role: Role
    content: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A tool as the model sees it; `input_schema` is JSON Schema of an object."""

    name: str
    description: str
    input_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model. `messages` begin and end with the user's, and every tool use has its result.

    `fallbacks` are models to ask if `model` fails before its answer begins.

    `tool_choice` none: tools are declared only because the messages refer to them, and must not be called.
    """

    model: str
    system: str
    messages: tuple[ModelMessage, ...]
    max_tokens: int
    tools: tuple[ToolSchema, ...] = ()
    tool_choice: Literal["auto", "none"] = "auto"
    temperature: float | None = None
    stop_sequences: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. `input_tokens` are those neither read from nor written to the provider's cache.

    `estimated`: the provider did not report some figure. It is not part of equality.
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
        """All tokens of the prompt, cached or not."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    text: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The whole answer. `stop_reason` `context_overflow`: the prompt, or prompt and answer, did not fit the window."""

    content: tuple[Block, ...]
    stop_reason: StopReason
    usage: Usage = field(default_factory=Usage)


type ModelEvent = TextDelta | ThinkingDelta | Completed


class ModelStream(Protocol):
    """A model's answer while it is received; may be iterated once."""

    def __iter__(self) -> Iterator[ModelEvent]:
        """Yield deltas, then `Completed`; raises `ModelFailed` or `ModelTimeout`. Ends quietly once closed."""
        ...

    def close(self) -> None:
        """End the provider's response at once, from any thread; again is no error."""
        ...

    @property
    def model(self) -> str:
        """The model that answers, or was asked last."""
        ...

    @property
    def usage(self) -> Usage:
        """What is known so far, also after a failure or `close`."""
        ...


class ModelProvider(Protocol):
    """An adapter to a provider of models. Thread-safe."""

    @property
    def name(self) -> str: ...

    def open(self, request: ModelRequest, *, deadline_seconds: float) -> ModelStream:
        """Begin a call that is over, one way or another, within `deadline_seconds` from now.

        Tries again, within the deadline, while no byte of an answer has come. Raises `ModelFailed`,
        `ModelTimeout`, or `ValidationFailed` for a request that this model cannot take.
        """
        ...

    def count_tokens(self, request: ModelRequest) -> int:
        """Ask the provider how many tokens the prompt has; raises as `open`, `ProviderUnsupported` if it cannot."""
        ...
