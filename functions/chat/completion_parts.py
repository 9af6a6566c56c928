"""The messages of `POST /v1/chat/completions`, in OpenAI's format."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from atrium.http.models import StrictModel
from atrium.kernel.errors import invalid_field, named_pattern
from atrium.llm.content import find_fault
from atrium.llm.model import (
    Block,
    Image,
    ModelMessage,
    Text,
    ToolResult,
    ToolUse,
)
from atrium.llm.normalise import read_arguments
from pydantic import Field

from functions.chat.vendor_fields import (
    PARTS_MAX,
    TEXT_MAX,
    TOOLS_MAX,
    JsonSchema,
    LongText,
    ShortText,
    ToolName,
    text_or_list,
)

_DATA_URL = named_pattern(r"^data:[a-z]+/[a-z0-9.+-]+;base64,", "must be a data URL, such as `data:image/png;base64,…`")


class TextPart(StrictModel):
    """A part with text."""

    type: Literal["text"]
    """Type of the part."""
    text: LongText
    """The text."""


class RefusalPart(StrictModel):
    """A part of an earlier answer in which the model refused."""

    type: Literal["refusal"]
    """Type of the part."""
    refusal: LongText
    """The text."""


class ImageUrl(StrictModel):
    """An image."""

    url: Annotated[str, Field(pattern=_DATA_URL, max_length=TEXT_MAX)]
    """The image as a data URL, such as `data:image/png;base64,…`."""
    detail: Literal["auto", "low", "high"] = "auto"
    """Accepted, without effect."""


class ImagePart(StrictModel):
    """A part with an image."""

    type: Literal["image_url"]
    """Type of the part."""
    image_url: ImageUrl
    """The image."""


type UserPart = Annotated[TextPart | ImagePart, Field(discriminator="type")]
type CompletionPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]
_TextList = Annotated[list[TextPart], Field(min_length=1, max_length=PARTS_MAX)]
_UserList = Annotated[list[UserPart], Field(min_length=1, max_length=PARTS_MAX)]
_AnswerList = Annotated[list[CompletionPart], Field(max_length=PARTS_MAX)]
_Texts = Annotated[_TextList, text_or_list(_TextList)]


class SystemMessage(StrictModel):
    """Instructions. All of them are sent before the conversation, in their order."""

    role: Literal["system", "developer"]
    """Author of the message."""
    content: _Texts
    """The instructions."""
    name: ShortText | None = None
    """Accepted, without effect."""


class UserMessage(StrictModel):
    """A message of the user."""

    role: Literal["user"]
    """Author of the message."""
    content: Annotated[_UserList, text_or_list(_UserList)]
    """Text, or a list of text and image parts."""
    name: ShortText | None = None
    """Accepted, without effect."""


class FunctionCall(StrictModel):
    """The function that a model calls."""

    name: ToolName
    """Name of the function."""
    arguments: LongText
    """The arguments as JSON text."""


class CompletionCall(StrictModel):
    """A call of one of your functions."""

    id: Annotated[str, Field(min_length=1, max_length=128)]
    """Id of the call. Its result refers to it."""
    type: Literal["function"]
    """Type of the call."""
    function: FunctionCall
    """The function and its arguments."""


class AssistantMessage(StrictModel):
    """An earlier answer."""

    role: Literal["assistant"]
    """Author of the message."""
    content: Annotated[_AnswerList, text_or_list(_AnswerList)] | None = None
    """Text of the answer. Null if it only has calls."""
    refusal: LongText | None = None
    """Text with which the model refused."""
    tool_calls: Annotated[list[CompletionCall], Field(max_length=TOOLS_MAX)] | None = None
    """Calls of your functions. Each must have a result in a following message of the role `tool`."""
    name: ShortText | None = None
    """Accepted, without effect."""
    annotations: Annotated[list[JsonSchema], Field(max_length=PARTS_MAX)] | None = None
    """Accepted, without effect, so that an answer can be sent back as it was received."""
    audio: None = None
    """Must be null."""
    function_call: None = None
    """Must be null. Use `tool_calls`."""


class ToolMessage(StrictModel):
    """The result of a call of one of your functions."""

    role: Literal["tool"]
    """Author of the message."""
    tool_call_id: Annotated[str, Field(min_length=1, max_length=128)]
    """Id of the call."""
    content: _Texts
    """The result."""


type CompletionMessage = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


def join_text(parts: Sequence[TextPart]) -> str:
    return "".join(part.text for part in parts)


def read_messages(messages: Sequence[CompletionMessage]) -> Iterator[ModelMessage]:
    for at, message in enumerate(messages):
        match message:
            case UserMessage(content=content):
                yield ModelMessage("user", tuple(_user_block(part, at, number) for number, part in enumerate(content)))
            case ToolMessage(tool_call_id=call, content=content):
                yield ModelMessage("user", (ToolResult(call, join_text(content)),))
            case AssistantMessage():
                yield ModelMessage("assistant", tuple(_answer_blocks(message, at)))


def _user_block(part: TextPart | ImagePart, at: int, number: int) -> Block:
    if isinstance(part, TextPart):
        return Text(part.text)
    head, _, data = part.image_url.url.partition(",")
    image = Image(head.removeprefix("data:").removesuffix(";base64"), data)
    fault = find_fault(image.media_type, image.data)
    if fault is not None:
        raise invalid_field(f"messages[{at}].content[{number}].image_url.url", fault)
    return image


def _answer_blocks(message: AssistantMessage, at: int) -> Iterator[Block]:
    parts = [part.text if isinstance(part, TextPart) else part.refusal for part in message.content or ()]
    yield from (Text(text) for text in (*parts, message.refusal) if text)
    for number, call in enumerate(message.tool_calls or ()):
        arguments, problem = read_arguments(call.function.arguments)
        if problem:
            raise invalid_field(f"messages[{at}].tool_calls[{number}].function.arguments", "must be a JSON object")
        yield ToolUse(call.id, call.function.name, arguments)
