"""Validates requests as Anthropic's API does: headers, bodies, tool history and cache marks.

Unknown fields are rejected. The API key and `anthropic-version` are required. An API key that contains `wrong` is
rejected, every other is accepted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from infra.local.model_server.blocks import Block, Blocks, Image, Strict, TextBlocks, Thinking, ToolResult, ToolUse
from infra.local.model_server.protocol import (
    IMAGE_TOKENS,
    INPUT_TOKENS_MAX,
    OUTPUT_TOKENS_MAX,
    ApiError,
    count_tokens,
    invalid,
    require_model,
    sign,
)

CACHE_MARKS_MAX = 4
WRONG_KEY = "wrong"
SECRET_HEADERS = frozenset({"x-api-key", "authorization", "cookie"})


@dataclass(frozen=True)
class Caller:
    """Values of the request headers: the API version, and whether `anthropic-beta` is present."""

    version: str
    beta: bool


def identify(headers: Mapping[str, str]) -> Caller:
    """Read the request headers.

    Raises a 401 error if the API key is missing or wrong, and a 400 error if `anthropic-version` is missing.
    """
    require_key(headers)
    if "anthropic-version" not in headers:
        raise ApiError(400, "anthropic-version: header is required")
    return Caller(headers["anthropic-version"], beta="anthropic-beta" in headers)


def require_key(headers: Mapping[str, str]) -> None:
    """Raise a 401 error if the API key is missing or wrong."""
    key = _key(headers)
    if not key:
        raise ApiError(401, "x-api-key header is required")
    if WRONG_KEY in key:
        raise ApiError(401)


def lists_for_chat(headers: Mapping[str, str]) -> bool:
    """Return whether a list of models is requested as in OpenAI's API: with a bearer token, without a version."""
    return "authorization" in headers and "anthropic-version" not in headers


def public_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers without credentials. `key-end` contains the last four characters of a long API key."""
    shown = {name: value for name, value in headers.items() if name not in SECRET_HEADERS}
    key = _key(headers)
    return {**shown, "key-end": key[-4:]} if len(key) > 8 else shown


def _key(headers: Mapping[str, str]) -> str:
    # the SDK sends `Authorization: Bearer`; older clients and curl send `x-api-key`
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key", "").strip() or (token.strip() if scheme.lower() == "bearer" else "")


# The values of `thinking.type` that the models of this line accept. The first accepts a forced tool choice.
THINKING_TYPES: Mapping[str, frozenset[str]] = {
    "claude-haiku-5-5": frozenset({"adaptive", "disabled"}),
    "claude-sonnet-5-5": frozenset({"adaptive", "between_tools"}),
    "claude-opus-5-5": frozenset({"adaptive"}),
}
FORCES_TOOLS = "claude-haiku-5-5"
SAMPLING = ("temperature", "top_p", "top_k")
SAMPLING_REMOVED_IN = "2026-10-21"


class Message(Strict):
    """A message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[Blocks, Field(min_length=1)]


class Tool(BaseModel):
    """A tool that the request offers. Only custom tools need a schema."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    type: str | None = None
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    description: str | None = None
    input_schema: dict[str, JsonValue] | None = None

    @property
    def properties(self) -> dict[str, JsonValue]:
        """Return the properties of the tool's schema."""
        properties = (self.input_schema or {}).get("properties")
        return properties if isinstance(properties, dict) else {}

    @model_validator(mode="after")
    def _check_schema(self) -> Self:
        if self.type in {None, "custom"} and (self.input_schema or {}).get("type") != "object":
            raise ValueError("input_schema must be a JSON schema whose type is object")
        return self


class ToolChoice(Strict):
    """The request's `tool_choice`: whether the model must use a tool, and which tool."""

    type: Literal["auto", "any", "tool", "none"] = "auto"
    name: str | None = None
    disable_parallel_tool_use: bool = False


class ThinkingConfig(Strict):
    """The request's `thinking`: whether the response contains a thinking block."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Field(ge=1024)] | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(Strict):
    """The schema of the text of the answer."""

    type: Literal["json_schema"]
    json_schema: Annotated[dict[str, JsonValue], Field(alias="schema")]


class OutputConfig(Strict):
    """The request's `output_config`."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class Prompt(Strict):
    """The body of `POST /v1/messages/count_tokens`. `POST /v1/messages` has the same fields and more."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    system: TextBlocks = Field(default_factory=list)
    tools: list[Tool] = Field(default_factory=list)
    tool_choice: ToolChoice = ToolChoice()
    thinking: ThinkingConfig | None = None
    cache_control: JsonValue = None
    output_config: OutputConfig = OutputConfig()
    speed: Literal["standard", "fast"] | None = None

    @property
    def input_tokens(self) -> int:
        """Return the number of tokens in the prompt."""
        text = self.model_dump_json(include={"system", "tools", "messages"}, exclude_defaults=True)
        return count_tokens(text) + IMAGE_TOKENS * sum(1 for _ in images_in(self.messages))


def images_in(messages: Sequence[Message]) -> Iterator[Image]:
    """Yield the images of messages and of their tool results."""
    for message in messages:
        for block in message.content:
            inner = block.content if isinstance(block, ToolResult) else [block]
            yield from (each for each in inner if isinstance(each, Image))


class MessagesRequest(Prompt):
    """The body of `POST /v1/messages`. If `max_tokens` is 0, the response is empty."""

    max_tokens: Annotated[int, Field(ge=0)]
    stream: bool = False
    stop_sequences: list[str] = Field(default_factory=list)
    metadata: JsonValue = None
    container: JsonValue = None
    diagnostics: JsonValue = None
    inference_geo: str | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None


def read_prompt[P: Prompt](shape: type[P], body: JsonValue, caller: Caller) -> P:
    """Return the validated request body. Raises the 400 or 404 error that Anthropic's API returns.

    If the header `anthropic-beta` is present, unknown fields are ignored, because they may belong to a beta feature.
    """
    try:
        request = shape.model_validate(body, extra="ignore" if caller.beta else None)
    except ValidationError as error:
        raise invalid(error) from error
    for name in SAMPLING:
        if caller.version >= SAMPLING_REMOVED_IN and name in request.model_fields_set:
            raise ApiError(400, f"{name}: Extra inputs are not permitted")
    require_model(request.model)
    _check_signatures(request.messages)
    _check_thinking(request)
    if request.output_config.format is not None:
        _check_closed(request.output_config.format.json_schema)
    _check_cache_marks(body)
    check_conversation(request)
    return request


def check_conversation(request: Prompt) -> None:
    """Raise a 400 error if the tools, the messages or the limit of the output are not valid."""
    _check_tools(request)
    _check_tool_pairs(request.messages)
    if request.messages[-1].role == "assistant":
        raise ApiError(
            400, "messages: assistant prefill is not supported; the conversation must end with a user message"
        )
    if request.input_tokens > INPUT_TOKENS_MAX:
        raise prompt_too_long(request.input_tokens)
    if isinstance(request, MessagesRequest):
        _check_output(request)


def prompt_too_long(tokens: int) -> ApiError:
    """Return the error of a prompt that exceeds the context window."""
    message = f"prompt is too long: {tokens} tokens > {INPUT_TOKENS_MAX} maximum"
    return ApiError(400, message, code="context_length_exceeded")


def _check_tools(request: Prompt) -> None:
    names = [tool.name for tool in request.tools]
    if len(set(names)) < len(names):
        raise ApiError(400, "tools: Tool names must be unique.")
    choice = request.tool_choice
    if choice.type == "tool" and choice.name not in names:
        raise ApiError(400, f"tool_choice: Tool '{choice.name}' not found in provided tools")
    if choice.type == "any" and not names:
        raise ApiError(400, "tool_choice: `any` may only be specified while providing tools")


def _check_output(request: MessagesRequest) -> None:
    if request.max_tokens > OUTPUT_TOKENS_MAX:
        raise ApiError(
            400,
            f"max_tokens: {request.max_tokens} > {OUTPUT_TOKENS_MAX}, which is the maximum allowed number of "
            f"output tokens for {request.model}",
        )
    thinking = request.thinking
    if thinking and thinking.type == "enabled":
        if thinking.budget_tokens is None:
            raise ApiError(400, "thinking.enabled.budget_tokens: Field required")
        if thinking.budget_tokens >= request.max_tokens:
            raise ApiError(400, "`max_tokens` must be greater than `thinking.budget_tokens`")


def _check_thinking(request: Prompt) -> None:
    thinking, is_forced = request.thinking, request.tool_choice.type in {"any", "tool"}
    known = THINKING_TYPES.get(request.model)
    if known is None or thinking is None or thinking.type == "enabled":
        return
    if thinking.type not in known:
        raise ApiError(400, f'"thinking.type.{thinking.type}" is not supported for this model.')
    if is_forced and (thinking.type != "disabled" or request.model != FORCES_TOOLS):
        raise ApiError(400, "Thinking may not be enabled when tool_choice forces tool use.")
    if thinking.type != "adaptive" and request.output_config.effort in {"xhigh", "max"}:
        raise ApiError(400, "output_config.effort: not supported without thinking")


def _check_closed(schema: JsonValue) -> None:
    if isinstance(schema, dict):
        if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
            raise ApiError(400, "output_config.format.schema: For 'object' type, 'additionalProperties' must be false")
        for each in schema.values():
            _check_closed(each)
    if isinstance(schema, list):
        for each in schema:
            _check_closed(each)


def _check_signatures(messages: Sequence[Message]) -> None:
    for index, message in enumerate(messages):
        for position, block in enumerate(message.content):
            if isinstance(block, Thinking) and block.signature != sign(block.thinking):
                raise ApiError(400, f"messages.{index}.content.{position}: Invalid `signature` in `thinking` block")


def _check_cache_marks(body: JsonValue) -> None:
    count = _count_marks(body)
    if count > CACHE_MARKS_MAX:
        raise ApiError(400, f"A maximum of {CACHE_MARKS_MAX} blocks with cache_control may be provided. Found {count}.")


def _count_marks(value: JsonValue) -> int:
    if isinstance(value, list):
        return sum(map(_count_marks, value))
    if not isinstance(value, dict):
        return 0
    return bool(value.get("cache_control")) + sum(map(_count_marks, value.values()))


def _check_tool_pairs(messages: Sequence[Message]) -> None:
    """Raise a 400 error for a call without a result, a result without a call, or a duplicate call id.

    The results of all tool calls must be at the start of the next user turn. Consecutive messages of one role are one
    turn, because Anthropic's API combines them.
    """
    asked: dict[str, int] = {}
    seen: set[str] = set()
    for role, group in groupby(enumerate(messages), key=lambda item: item[1].role):
        numbered = [(index, block) for index, message in group for block in message.content]
        first = numbered[0][0]
        results = _results(role, first, [block for _, block in numbered])
        _require_answers(asked, results)
        for result in results:
            if result not in asked:
                raise ApiError(
                    400,
                    f"messages.{first}: unexpected `tool_use_id` found in `tool_result` blocks: {result}. Each "
                    "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
                )
        asked = _calls(role, numbered, seen)
    _require_answers(asked, [])


def _require_answers(asked: Mapping[str, int], results: Sequence[str]) -> None:
    missing = [call for call in asked if call not in results]
    if missing:
        raise ApiError(
            400,
            f"messages.{max(asked.values())}: `tool_use` ids were found without `tool_result` blocks immediately "
            f"after: {', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
            "next message.",
        )


def _results(role: str, index: int, blocks: list[Block]) -> list[str]:
    results = [block.tool_use_id for block in blocks if isinstance(block, ToolResult)]
    if results and role != "user":
        raise ApiError(400, f"messages.{index}: `tool_result` blocks can only be in `user` messages")
    if len(set(results)) < len(results):
        raise ApiError(400, f"messages.{index}: each `tool_use` must have a single result")
    if any(not isinstance(block, ToolResult) for block in blocks[: len(results)]):
        raise ApiError(400, f"messages.{index}: `tool_result` blocks must come before other content")
    return results


def _calls(role: str, numbered: list[tuple[int, Block]], seen: set[str]) -> dict[str, int]:
    """Return the ids of the tool calls with the indexes of their messages. Add all ids to `seen`."""
    calls: dict[str, int] = {}
    for index, block in numbered:
        if isinstance(block, ToolUse):
            if role != "assistant":
                raise ApiError(400, f"messages.{index}: `tool_use` blocks can only be in `assistant` messages")
            if block.id in seen:
                raise ApiError(400, f"messages.{index}: `tool_use` ids must be unique")
            seen.add(block.id)
            calls[block.id] = index
    return calls
