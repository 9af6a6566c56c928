"""The content blocks of requests. They have exactly the fields of the SDK's `*BlockParam` types."""

import base64
import re
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    ValidationInfo,
    field_validator,
)

IMAGE_SIGNATURES = {
    "image/jpeg": rb"\xff\xd8\xff",
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/gif": rb"GIF8[79]a",
    "image/webp": rb"(?s:RIFF.{4}WEBP)",
}


class Strict(BaseModel):
    """A pydantic model that rejects unknown fields and does not convert types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Text(Strict):
    """A non-empty text block."""

    type: Literal["text"]
    text: Annotated[str, Field(min_length=1)]
    cache_control: JsonValue = None
    citations: JsonValue = None


class ImageSource(Strict):
    """An image file in base64. `data` is not part of the JSON in which tokens are counted."""

    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: Annotated[str, Field(min_length=1, exclude=True)]

    @field_validator("data")
    @classmethod
    def _check_data(cls, data: str, info: ValidationInfo) -> str:
        try:
            content = base64.b64decode(data, validate=True)
        except ValueError as error:
            raise ValueError("image data is not valid base64") from error
        media_type = info.data.get("media_type", "image/png")
        if not re.match(IMAGE_SIGNATURES[media_type], content):
            raise ValueError(f"the image does not match the media type {media_type}")
        return data


class Image(Strict):
    """An image block."""

    type: Literal["image"]
    source: ImageSource
    cache_control: JsonValue = None
    transformations: JsonValue = None


class ToolUse(Strict):
    """A tool call from an earlier response."""

    type: Literal["tool_use"]
    id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    input: dict[str, JsonValue]
    cache_control: JsonValue = None
    caller: JsonValue = None
    toolset_name: str | None = None


class Thinking(Strict):
    """A thinking block from an earlier response, with its signature."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class Other(BaseModel):
    """A block whose tokens are counted but whose content is not read, such as a document."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    type: Literal[
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
    """Return the tag of the model that validates a block. `Other` rejects unknown types."""
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if kind in {"text", "image", "tool_use", "tool_result", "thinking"} else "other"


def as_blocks(value: object) -> object:
    """Convert a string to a list with one text block. Return other values unchanged."""
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


TextBlocks = Annotated[list[Text], BeforeValidator(as_blocks)]


class ToolResult(Strict):
    """The result of a tool call."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: Annotated[
        list[
            Annotated[
                Annotated[Text, Tag("text")] | Annotated[Image, Tag("image")] | Annotated[Other, Tag("other")],
                Discriminator(tag_of),
            ]
        ],
        BeforeValidator(lambda value: [] if value == "" else as_blocks(value)),
    ] = []
    is_error: bool = False
    cache_control: JsonValue = None
    toolset_name: str | None = None

    @property
    def text(self) -> str:
        """Return the result as text. A block that is not text is represented by its type in brackets."""
        return "\n".join(block.text if isinstance(block, Text) else f"[{block.type}]" for block in self.content)


Block = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[Image, Tag("image")]
    | Annotated[ToolUse, Tag("tool_use")]
    | Annotated[ToolResult, Tag("tool_result")]
    | Annotated[Thinking, Tag("thinking")]
    | Annotated[Other, Tag("other")],
    Discriminator(tag_of),
]
Blocks = Annotated[list[Block], BeforeValidator(as_blocks)]
