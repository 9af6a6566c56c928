"""The content blocks that a request may carry, with exactly the fields that the SDK's `*BlockParam` types have.

Fields that Anthropic's API would refuse are refused here too: sending an answer's own extra fields back is an error.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, JsonValue, Tag


class Strict(BaseModel):
    """No unknown field, no coercion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Text(Strict):
    """A piece of text, never empty."""

    type: Literal["text"]
    text: Annotated[str, Field(min_length=1)]
    cache_control: JsonValue = None
    citations: JsonValue = None


class ToolUse(Strict):
    """A call that the model asked for earlier."""

    type: Literal["tool_use"]
    id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    input: dict[str, JsonValue]
    cache_control: JsonValue = None
    caller: JsonValue = None
    toolset_name: str | None = None


class Thinking(Strict):
    """Earlier thinking, with the signature that it came with."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class Other(BaseModel):
    """A block that the server counts but does not read, such as an image."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    type: Literal[
        "image",
        "document",
        "search_result",
        "redacted_thinking",
        "server_tool_use",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
        "container_upload",
        "tool_reference",
        "browser_state",
    ]


def tag_of(value: object) -> str:
    """Which of the models above reads a block; anything unknown goes to `Other`, which refuses it by its type."""
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if kind in {"text", "tool_use", "tool_result", "thinking"} else "other"


def as_blocks(value: object) -> object:
    """A plain string is shorthand for one text block."""
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


TextBlocks = Annotated[list[Text], BeforeValidator(as_blocks)]


class ToolResult(Strict):
    """What a tool answered."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: Annotated[
        list[Annotated[Annotated[Text, Tag("text")] | Annotated[Other, Tag("other")], Discriminator(tag_of)]],
        BeforeValidator(lambda value: [] if value == "" else as_blocks(value)),
    ] = []
    is_error: bool = False
    cache_control: JsonValue = None
    toolset_name: str | None = None

    @property
    def text(self) -> str:
        """The result as text; other blocks appear as their type in brackets."""
        return "\n".join(block.text if isinstance(block, Text) else f"[{block.type}]" for block in self.content)


Block = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[ToolUse, Tag("tool_use")]
    | Annotated[ToolResult, Tag("tool_result")]
    | Annotated[Thinking, Tag("thinking")]
    | Annotated[Other, Tag("other")],
    Discriminator(tag_of),
]
Blocks = Annotated[list[Block], BeforeValidator(as_blocks)]
