"""The bodies of `POST /v1/messages` and `/v1/messages/count_tokens`, validated as Anthropic's API validates them."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from infra.local.model_server.caller import Caller
from infra.local.model_server.catalogue import INPUT_TOKENS_MAX, OUTPUT_TOKENS_MAX, require_model
from infra.local.model_server.content import Blocks, Strict, TextBlocks
from infra.local.model_server.errors import ApiError, invalid
from infra.local.model_server.pairing import check_tool_pairs
from infra.local.model_server.signature import check_signatures
from infra.local.model_server.tokens import count_tokens

SAMPLING = ("temperature", "top_p", "top_k")
SAMPLING_LEFT = "2026-10-21"


class Message(Strict):
    """One message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[Blocks, Field(min_length=1)]


class Tool(BaseModel):
    """A tool on offer; one with a vendor's type has no schema of its own."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    type: str | None = None
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    description: str | None = None
    input_schema: dict[str, JsonValue] | None = None

    @model_validator(mode="after")
    def _check_schema(self) -> Self:
        if self.type in {None, "custom"} and (self.input_schema or {}).get("type") != "object":
            raise ValueError("input_schema must be a JSON schema whose type is object")
        return self


class ToolChoice(Strict):
    """How the tools may be used."""

    type: Literal["auto", "any", "tool", "none"] = "auto"
    name: str | None = None
    disable_parallel_tool_use: bool = False


class ThinkingConfig(Strict):
    """Whether the model thinks before it answers."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Field(ge=1024)] | None = None
    display: Literal["summarized", "omitted"] | None = None


class Prompt(Strict):
    """What both calls share."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    system: TextBlocks = Field(default_factory=list)
    tools: list[Tool] = Field(default_factory=list)
    tool_choice: ToolChoice = ToolChoice()
    thinking: ThinkingConfig | None = None
    cache_control: JsonValue = None
    output_config: JsonValue = None
    speed: Literal["standard", "fast"] | None = None

    @property
    def input_tokens(self) -> int:
        """The prompt's size by the rule of `tokens`."""
        return count_tokens(self.model_dump_json(include={"system", "tools", "messages"}, exclude_defaults=True))


class MessagesRequest(Prompt):
    """A call for an answer; `max_tokens` 0 is allowed and gives an empty one."""

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
    """Validate a body, or raise the 400 or 404 that Anthropic's API would answer.

    From version 2026-10-21 on there are no sampling parameters. With an `anthropic-beta` header unknown fields are
    let through, because they may be that beta's.
    """
    try:
        request = shape.model_validate(body, extra="ignore" if caller.beta else None)
    except ValidationError as error:
        raise invalid(error) from error
    for name in SAMPLING:
        if caller.version >= SAMPLING_LEFT and name in request.model_fields_set:
            raise ApiError(400, f"{name}: Extra inputs are not permitted")
    require_model(request.model)
    _check_tools(request)
    check_tool_pairs([(message.role, message.content) for message in request.messages])
    if request.messages[-1].role == "assistant":
        raise ApiError(
            400, "messages: assistant prefill is not supported; the conversation must end with a user message"
        )
    check_signatures(message.content for message in request.messages)
    if request.input_tokens > INPUT_TOKENS_MAX:
        raise ApiError(400, f"prompt is too long: {request.input_tokens} tokens > {INPUT_TOKENS_MAX} maximum")
    if isinstance(request, MessagesRequest):
        _check_output(request)
    return request


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
