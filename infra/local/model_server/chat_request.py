"""Validates requests of the Chat Completions API, and translates them into requests of the Messages API.

The rules are those of OpenAI and Zhipu that a client can violate: required results of tool calls, lengths of ids and
names, no tools or sampling parameters with reasoning (OpenAI), no output schema (Zhipu), and the range of the
temperature.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, ValidationError, model_validator

from infra.local.model_server.blocks import Strict
from infra.local.model_server.protocol import ApiError, JsonObject, invalid, sign
from infra.local.model_server.request import MessagesRequest, check_conversation

# Ids that OpenAI's SDK and docs.z.ai name. The value states whether the vendor is Zhipu.
CHAT_MODELS: Mapping[str, bool] = {
    "gpt-6-luna": False,
    "gpt-6-sol": False,
    "glm-5.3-flash": True,
    "glm-5.3": True,
}
OUTPUT_TOKENS_DEFAULT = 4_096
ANY_OBJECT: JsonObject = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
_WITHOUT_REASONING = ("temperature", "top_p", "seed", "stop")
_ZHIPU_EFFORTS = ("low", "high", "max")
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
CallId = Annotated[str, Field(min_length=1, max_length=40)]


class ImageUrl(Strict):
    url: Annotated[str, Field(pattern=r"^data:image/(jpeg|png|gif|webp);base64,")]
    detail: Literal["low", "high", "auto", "original"] | None = None


class Part(Strict):
    """A text or image part of a message."""

    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: ImageUrl | None = None

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        if (self.text is None) == (self.type == "text") or (self.image_url is None) == (self.type == "image_url"):
            raise ValueError(f"a part of the type {self.type} needs the field `{self.type}` and no other")
        return self

    def block(self) -> JsonObject:
        """Return the part as a block of the Messages API."""
        if self.image_url is None:
            return {"type": "text", "text": self.text}
        media_type, _, data = self.image_url.url.removeprefix("data:").partition(";base64,")
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


class FunctionCall(Strict):
    name: Name
    arguments: str


class Call(Strict):
    id: CallId
    type: Literal["function"]
    function: FunctionCall


class Message(Strict):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[Part], Field(min_length=1)] | None = None
    tool_calls: Annotated[list[Call], Field(min_length=1)] | None = None
    tool_call_id: CallId | None = None
    reasoning_content: str | None = None
    refusal: None = None  # SDKs send back the whole message of an answer

    def blocks(self) -> list[JsonValue]:
        """Return the content as blocks of the Messages API."""
        if isinstance(self.content, str):
            return [{"type": "text", "text": self.content}] if self.content else []
        return [part.block() for part in self.content or []]


class Function(Strict):
    name: Name
    description: str | None = None
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


class Tool(Strict):
    type: Literal["function"]
    function: Function


class ChosenFunction(Strict):
    name: Name


class ToolChoice(Strict):
    type: Literal["function"]
    function: ChosenFunction


class JsonSchema(Strict):
    name: Name
    json_schema: Annotated[JsonObject, Field(alias="schema")]
    description: str | None = None
    strict: bool = False


class ResponseFormat(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @property
    def output_schema(self) -> JsonObject | None:
        """Return the schema of the answer, or None for text."""
        if self.json_schema is not None:
            return self.json_schema.json_schema
        return ANY_OBJECT if self.type == "json_object" else None


class StreamOptions(Strict):
    include_usage: bool = False


class ChatRequest(Strict):
    """The body of `POST /v1/chat/completions`."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    tools: list[Tool] = Field(default_factory=list)
    tool_choice: Literal["auto", "none", "required"] | ToolChoice = "auto"
    parallel_tool_calls: bool = True
    reasoning_effort: Literal["none", "low", "medium", "high", "xhigh", "max"] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] = Field(default_factory=list)
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: int | None = None
    response_format: ResponseFormat = ResponseFormat(type="text")
    user: str | None = None

    @property
    def is_zhipu(self) -> bool:
        """Return whether the model is one of Zhipu."""
        return CHAT_MODELS[self.model]

    @property
    def reports_usage(self) -> bool:
        """Return whether a stream reports the usage. Zhipu always reports it."""
        return self.stream_options.include_usage or self.is_zhipu


def read_chat(body: JsonValue) -> tuple[ChatRequest, MessagesRequest]:
    """Return the validated request, and its translation. Raises the 400 or 404 error that the vendor returns."""
    try:
        request = ChatRequest.model_validate(body)
        if request.model not in CHAT_MODELS:
            raise ApiError(404, f"The model `{request.model}` does not exist.", code="model_not_found")
        _check(request)
        translated = MessagesRequest.model_validate(_translate(request))
    except ValidationError as error:
        raise invalid(error) from error
    check_conversation(translated)
    return request, translated


def _check(request: ChatRequest) -> None:
    if not request.is_zhipu and request.max_tokens is not None:
        raise ApiError(400, "max_tokens is not supported with this model. Use max_completion_tokens.")
    if request.is_zhipu and (request.max_completion_tokens is not None or request.reasoning_effort == "none"):
        raise ApiError(400, "max_completion_tokens and reasoning_effort `none` are not supported with this model.")
    if request.tools and not request.is_zhipu and request.reasoning_effort != "none":
        raise ApiError(400, "Function tools are not supported with reasoning. Set reasoning_effort to none.")
    check_options = _check_zhipu if request.is_zhipu else _check_openai
    check_options(request)
    if request.tool_choice != "auto" and not request.tools:
        raise ApiError(400, "tool_choice is only allowed when tools are specified.")
    for at, message in enumerate(request.messages):
        _check_message(message, at)


def _check_openai(request: ChatRequest) -> None:
    sampling = [name for name in _WITHOUT_REASONING if name in request.model_fields_set]
    if sampling and request.reasoning_effort != "none":
        raise ApiError(400, f"{sampling[0]} is not supported with this model and reasoning.")
    texts = (message.model_dump_json(include={"content"}) for message in request.messages)
    if request.response_format.type == "json_object" and not any("json" in each.lower() for each in texts):
        raise ApiError(400, "'messages' must contain the word 'json' to use 'response_format' of type 'json_object'.")


def _check_zhipu(request: ChatRequest) -> None:
    if request.temperature is not None and request.temperature > 1:
        raise ApiError(400, "temperature is above its maximum.")
    if request.tool_choice != "auto":
        raise ApiError(400, "tool_choice supports only auto with this model.")
    if request.reasoning_effort not in {None, *_ZHIPU_EFFORTS}:
        raise ApiError(400, f"reasoning_effort must be one of {', '.join(_ZHIPU_EFFORTS)} with this model.")
    if request.response_format.type == "json_schema":
        raise ApiError(400, "response_format supports only text and json_object with this model.")
    if not isinstance(request.stop, str) and len(request.stop) > 1:
        raise ApiError(400, "stop supports only one sequence with this model.")
    for name in ("seed", "parallel_tool_calls"):
        if name in request.model_fields_set:
            raise ApiError(400, f"{name} is not supported with this model.")


def _check_message(message: Message, at: int) -> None:
    is_tool, is_assistant = message.role == "tool", message.role == "assistant"
    if is_tool != (message.tool_call_id is not None):
        raise ApiError(400, f"messages.{at}: tool_call_id must be present in messages with role tool, and only there")
    if not is_assistant and (message.tool_calls or message.reasoning_content):
        raise ApiError(400, f"messages.{at}: only messages with role assistant can have this field")
    if not is_assistant and message.content is None:
        raise ApiError(400, f"messages.{at}.content: expected a string or a list, got null")
    if is_assistant and not (message.content or message.tool_calls):
        raise ApiError(400, f"messages.{at}: content or tool_calls must be set")
    if message.role != "user" and isinstance(message.content, list) and any(each.image_url for each in message.content):
        raise ApiError(400, f"messages.{at}: only messages with role user can contain images")


def _translate(request: ChatRequest) -> JsonObject:
    system = [message for message in request.messages if message.role in {"system", "developer"}]
    others = [message for message in request.messages if message.role not in {"system", "developer"}]
    choice: JsonObject = (
        {"type": {"required": "any"}.get(request.tool_choice, request.tool_choice)}
        if isinstance(request.tool_choice, str)
        else {"type": "tool", "name": request.tool_choice.function.name}
    )
    schema = request.response_format.output_schema
    return {
        "model": request.model,
        "output_config": {"format": {"type": "json_schema", "schema": schema}} if schema else {},
        "max_tokens": request.max_completion_tokens or request.max_tokens or OUTPUT_TOKENS_DEFAULT,
        "stream": request.stream,
        "system": [block for message in system for block in message.blocks()],
        "messages": list(_merge(others)),
        "tools": [
            {
                "name": tool.function.name,
                "description": tool.function.description,
                "input_schema": {"type": "object", **tool.function.parameters},
            }
            for tool in request.tools
        ],
        "tool_choice": {**choice, "disable_parallel_tool_use": not request.parallel_tool_calls},
        "stop_sequences": [request.stop] if isinstance(request.stop, str) else list(request.stop),
        # OpenAI's API does not show its reasoning.
        "thinking": None if request.is_zhipu else {"type": "disabled"},
    }


def _merge(messages: Sequence[Message]) -> Iterator[JsonValue]:
    """Yield the messages of the Messages API. Results and the user message after them are one message."""
    role, blocks = "", list[JsonValue]()
    for message in messages:
        own = "assistant" if message.role == "assistant" else "user"
        if own != role and blocks:
            yield {"role": role, "content": blocks}
            blocks = []
        role = own
        blocks = [*blocks, *_blocks(message)]
    yield {"role": role or "user", "content": blocks}


def _blocks(message: Message) -> list[JsonValue]:
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.blocks() or ""}]
    thinking = message.reasoning_content
    thought: list[JsonValue] = (
        [{"type": "thinking", "thinking": thinking, "signature": sign(thinking)}] if thinking else []
    )
    calls: list[JsonValue] = [
        {"type": "tool_use", "id": call.id, "name": call.function.name, "input": _arguments(call.function.arguments)}
        for call in message.tool_calls or []
    ]
    return [*thought, *message.blocks(), *calls]


def _arguments(text: str) -> JsonObject:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}
