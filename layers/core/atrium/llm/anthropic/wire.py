"""Anthropic's Messages API: writes requests, and reads stream events into an `AnswerBuilder`.

Thinking blocks are sent back only within their turn, which starts at the user's last text. The provider binds each
thinking block to everything before it, to the account and to the model. With a shortened history, another system prompt
or another model, the next call would fail with 400 (ADR 0040). Blank text is omitted, because the API rejects it.

The prompt is cached up to at most four marks, which is the API's limit. The first is at the end of tools and system
prompt, which are the same in all sessions of an agent. The last is at the end of the conversation, which the next step
or turn continues. The others are at the ends of earlier requests, where their prompts are in the cache: at the previous
user message, for the next step of a turn, and at the question before, for the next turn, which omits the thinking of
the last turn. Without them, the API finds a cached prompt only within 20 blocks before a mark. A reminder follows after
the last mark, because the next request does not contain it.

An output schema is sent as `output_config.format`, which constrains the text of the answer. The API has no mode for any
JSON object, so the system prompt asks for one.

Events, blocks and deltas of unknown types are ignored, as the API requires. A field of a wrong type raises
`AnswerBroken`, except numbers, ids, names and arguments, which the builder repairs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, assert_never, cast

from atrium.llm.answer import AnswerBuilder, BlockKind, read_index, read_object, read_text
from atrium.llm.catalogue import ModelInfo, thinks
from atrium.llm.content import ImageType
from atrium.llm.model import (
    UNSIGNED,
    Block,
    Content,
    Image,
    ModelEvent,
    ModelRequest,
    NamedTool,
    OutputSchema,
    Role,
    StopReason,
    Text,
    Thinking,
    ToolResult,
    ToolSchema,
    ToolUse,
    turn_start,
)

if TYPE_CHECKING:
    from anthropic.types import (
        CacheControlEphemeralParam,
        ImageBlockParam,
        MessageParam,
        RedactedThinkingBlockParam,
        TextBlockParam,
        ThinkingBlockParam,
        ToolChoiceParam,
        ToolParam,
        ToolResultBlockParam,
        ToolUseBlockParam,
    )

    type Sent = (
        TextBlockParam
        | ImageBlockParam
        | ThinkingBlockParam
        | RedactedThinkingBlockParam
        | ToolUseBlockParam
        | ToolResultBlockParam
    )


_CACHED: "CacheControlEphemeralParam" = {"type": "ephemeral"}
_REASONS: dict[str, StopReason] = {
    "end_turn": "end_turn",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "pause_turn": "pause_turn",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_overflow",
}
_FIGURES = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}
_DELTAS: dict[str, tuple[BlockKind, str]] = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "input_json_delta": ("tool_use", "partial_json"),
}


def system_blocks(system: str) -> "list[TextBlockParam]":
    """Return the system prompt with a cache mark. The list is empty if there is no system prompt."""
    return [{"type": "text", "text": system, "cache_control": _CACHED}] if system.strip() else []


def tool_params(tools: Sequence[ToolSchema], *, marked: bool) -> "list[ToolParam]":
    """Return the tools. With `marked`, the last tool has the cache mark, because there is no system prompt."""
    params: list[ToolParam] = [
        {"name": tool.name, "description": tool.description, "input_schema": dict(tool.input_schema)} for tool in tools
    ]
    if params and marked:
        params[-1]["cache_control"] = _CACHED
    return params


def tool_choice(request: ModelRequest) -> "ToolChoiceParam | None":
    """Return the `tool_choice` of a request. None means the API's default."""
    if not request.tools or (request.tool_choice == "auto" and request.parallel_tool_calls):
        return None
    if request.tool_choice == "none":
        return {"type": "none"}
    limit = {} if request.parallel_tool_calls else {"disable_parallel_tool_use": True}
    if isinstance(request.tool_choice, NamedTool):
        return cast("ToolChoiceParam", {"type": "tool", "name": request.tool_choice.name, **limit})
    return cast("ToolChoiceParam", {"type": "any" if request.tool_choice == "required" else "auto", **limit})


def prompt_params(request: ModelRequest, model: ModelInfo) -> dict[str, Any]:
    """Return the fields of a request that determine its prompt, without the model. A count has the same fields."""
    prompt, output_format = _output(request)
    system = system_blocks(prompt)
    thinking = {"type": "adaptive", "display": "summarized"}
    if not thinks(request, model):
        thinking = {"type": model.options.thinking_off}
    output = {"format": output_format, "effort": request.effort}
    fields: dict[str, Any] = {
        "system": system,
        "messages": message_params(request, with_thinking=thinking["type"] != "disabled"),
        "tools": tool_params(request.tools, marked=not system),
        "tool_choice": tool_choice(request),
        "thinking": thinking,
        "output_config": {name: value for name, value in output.items() if value is not None},
    }
    return {name: value for name, value in fields.items() if value}


def _output(request: ModelRequest) -> tuple[str, dict[str, Any] | None]:
    """Return the system prompt, and the `format` of the answer if the API enforces it."""
    output = request.output_format
    if output == "text":
        return request.system, None
    from atrium.llm.schemas import enforceable, instruct  # not needed by most requests

    schema = enforceable(output) if isinstance(output, OutputSchema) else None
    if schema is None:
        return instruct(request), None
    return request.system, {"type": "json_schema", "schema": schema}


def message_params(request: ModelRequest, *, with_thinking: bool = True) -> "list[MessageParam]":
    """Return the conversation, with at most three cache marks. `with_thinking`: with the thinking of this turn."""
    turn = turn_start(request.messages)
    sent: list[tuple[Role, list[Sent]]] = []
    for at, message in enumerate(request.messages):
        blocks = list(_sent(message.content, with_thinking=with_thinking and at >= turn))
        if not blocks:
            continue
        if sent and sent[-1][0] == message.role:  # the message between them was omitted
            sent[-1][1].extend(blocks)
        else:
            sent.append((message.role, blocks))
    _mark_ends(sent)
    if request.reminder and sent:
        sent[-1][1].append({"type": "text", "text": request.reminder})
    return [
        {"role": "user", "content": blocks} if role == "user" else {"role": "assistant", "content": blocks}
        for role, blocks in sent
    ]


def _mark_ends(sent: "Sequence[tuple[Role, list[Sent]]]") -> None:
    """Add cache marks to the last message, the user message before it, and the question before it."""
    earlier = [blocks for role, blocks in sent[:-1] if role == "user"]
    questions = [blocks for blocks in earlier if blocks[-1]["type"] != "tool_result"]
    for blocks in (*(blocks for _, blocks in sent[-1:]), *earlier[-1:], *questions[-1:]):
        last = blocks[-1]
        if last["type"] == "text" or last["type"] == "image" or last["type"] == "tool_result":
            last["cache_control"] = _CACHED


def _sent(blocks: Iterable[Block], *, with_thinking: bool) -> "Iterable[Sent]":
    for block in blocks:
        match block:
            case Text(text):
                if text.strip():
                    yield {"type": "text", "text": text}
            case Image():
                yield _image(block)
            case Thinking(text, signature, redacted):
                if not with_thinking or signature in {"", UNSIGNED}:
                    continue
                if redacted:
                    yield {"type": "redacted_thinking", "data": signature}
                else:
                    yield {"type": "thinking", "thinking": text, "signature": signature}
            case ToolUse(call, name, arguments):
                yield {"type": "tool_use", "id": call, "name": name, "input": dict(arguments)}
            case ToolResult(call, content, is_error):
                sent = content if isinstance(content, str) else list(_sent_content(content))
                yield {"type": "tool_result", "tool_use_id": call, "content": sent, "is_error": is_error}
            case _:
                assert_never(block)


def _sent_content(content: Content) -> "Iterator[TextBlockParam | ImageBlockParam]":
    for block in content:
        if isinstance(block, Image):
            yield _image(block)
        elif block.text.strip():
            yield {"type": "text", "text": block.text}


def _image(block: Image) -> "ImageBlockParam":
    media_type = cast("ImageType", block.media_type)
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": block.data}}


def read_event(event: object, answer: AnswerBuilder) -> Iterator[ModelEvent]:
    """Read one event and yield the resulting model events. Raise `AnswerBroken` if it is invalid."""
    fields = read_object(event, "an event")
    match read_text(fields, "type", required=True):
        case "message_start":
            answer.begin()
            message = fields.get("message")
            answer.report(_figures(message.get("usage") if isinstance(message, dict) else None))
        case "content_block_start":
            yield from _open(read_index(fields), read_object(fields.get("content_block"), "content_block"), answer)
        case "content_block_delta":
            yield from _extend(read_index(fields), read_object(fields.get("delta"), "delta"), answer)
        case "content_block_stop":
            yield from answer.close(read_index(fields))
        case "message_delta":
            delta = read_object(fields.get("delta"), "delta")
            reason = read_text(delta, "stop_reason")
            if reason:
                answer.stop(_REASONS.get(reason, "end_turn"), delta.get("stop_sequence"))
            answer.report(_figures(fields.get("usage")), final=True)
        case "message_stop":
            yield from answer.complete()


def _open(index: int, block: Mapping[str, Any], answer: AnswerBuilder) -> Iterator[ModelEvent]:
    match read_text(block, "type", required=True):
        case "text":
            answer.open(index, "text")
            yield from answer.add(index, "text", read_text(block, "text"))
        case "thinking":
            answer.open(index, "thinking", signature=read_text(block, "signature"))
            yield from answer.add(index, "thinking", read_text(block, "thinking"))
        case "redacted_thinking":
            answer.open(index, "redacted", signature=read_text(block, "data"))
        case "tool_use":
            answer.open(
                index, "tool_use", call_id=block.get("id"), name=block.get("name"), arguments=block.get("input")
            )
        case _:
            answer.open(index, "ignored")


def _extend(index: int, delta: Mapping[str, Any], answer: AnswerBuilder) -> Iterator[ModelEvent]:
    kind = read_text(delta, "type", required=True)
    if kind == "signature_delta":
        answer.sign(index, read_text(delta, "signature"))
    elif kind in _DELTAS:
        block, name = _DELTAS[kind]
        yield from answer.add(index, block, read_text(delta, name))


def _figures(usage: object) -> dict[str, object]:
    """Return the token counts under the field names of `Usage`. `UsageMeter` validates the values."""
    return {ours: usage.get(theirs) for theirs, ours in _FIGURES.items()} if isinstance(usage, dict) else {}
