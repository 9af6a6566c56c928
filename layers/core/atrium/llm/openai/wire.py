"""OpenAI's Chat Completions API: writes requests, and reads the chunks of a stream into an `AnswerBuilder`.

Two vendors use this format with differences that `Dialect` describes.

- Thinking arrives as `reasoning_content`, which only Zhipu sends. It is sent back only within its turn, because Zhipu
  requires it between tool calls and ignores that of earlier turns (docs.z.ai/guides/capabilities/thinking-mode).
  Thinking blocks of other vendors are omitted.
- OpenAI's models call functions in this API only if they do not reason (developers.openai.com/api/docs/models). A
  request with tools therefore sets `reasoning_effort` to `none`.
- Zhipu accepts no other `tool_choice` than `auto`. Tools that must not be called are therefore omitted, unless the
  messages refer to them.
- Zhipu does not accept an output schema. The system prompt contains it, and `response_format` requires a JSON object.
  For a JSON object without a schema, OpenAI also requires that the prompt asks for JSON.
- A message of a tool result cannot contain images. They are sent in a message of the user after the results, and the
  result refers to them.
- An API accepts ids of tool calls with at most 40 characters. Longer ones, which another vendor wrote, are replaced by
  a hash, so that a conversation always has the same form.

Unknown fields are ignored. A field of a wrong type raises `AnswerBroken`, except numbers, ids, names and arguments,
which the builder repairs.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from atrium.llm.answer import AnswerBuilder, read_index, read_list, read_object, read_text
from atrium.llm.catalogue import ModelInfo, thinks
from atrium.llm.model import (
    UNSIGNED,
    Block,
    Image,
    ModelEvent,
    ModelMessage,
    ModelRequest,
    NamedTool,
    OutputSchema,
    ResultContent,
    StopReason,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    turn_start,
)
from atrium.llm.tokens import read_figure

DONE = object()
"""The event of the end of a stream, which is the text `[DONE]`."""
CALL_ID_MAX = 40
_ERROR_MARK = "Error: "
_FIGURE_MAX = 1_000_000_000
_THINKING, _TEXT, _CALLS = 0, 1, 2  # the positions of the blocks; the tool call with the index n has 2 + n
_REASONS: dict[str, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "sensitive": "refusal",
    "model_context_window_exceeded": "context_overflow",
}


class StreamError(Exception):
    """The provider reported an error in a stream. `sent` are its code and type."""

    def __init__(self, *sent: object) -> None:
        super().__init__("an error in the stream")
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Dialect:
    """The differences between the vendors.

    A temperature above `temperature_max` is sent as this maximum. `image_detail` bounds the tokens of an image; without
    it, an image of OpenAI can have more than `IMAGE_TOKENS_MAX`.
    """

    output_limit: Literal["max_tokens", "max_completion_tokens"]
    takes_tool_choice: bool = True
    takes_reasoning_back: bool = False
    image_detail: str | None = None
    temperature_max: float = 2.0


DIALECTS: Mapping[str, Dialect] = {
    "openai": Dialect("max_completion_tokens", image_detail="high"),
    "zhipu": Dialect("max_tokens", takes_tool_choice=False, takes_reasoning_back=True, temperature_max=1.0),
}


def request_params(request: ModelRequest, model: ModelInfo, dialect: Dialect) -> dict[str, Any]:
    """Return the body of a request, without the model and the options of the stream."""
    system, response_format = _output(request, model)
    body: dict[str, Any] = {
        "messages": [*_system(system), *_messages(request, dialect)],
        dialect.output_limit: request.max_tokens,
        "reasoning_effort": request.effort if thinks(request, model) else model.options.thinking_off,
        "temperature": None if request.temperature is None else min(request.temperature, dialect.temperature_max),
        "top_p": request.top_p,
        "seed": request.seed,
        "stop": list(request.stop_sequences) or None,
        "response_format": response_format,
    }
    return {name: value for name, value in body.items() if value is not None} | _tool_params(request, dialect)


def _tool_params(request: ModelRequest, dialect: Dialect) -> dict[str, Any]:
    choice = request.tool_choice
    is_omitted = choice == "none" and not dialect.takes_tool_choice and not _has_calls(request)
    if not request.tools or is_omitted:
        return {}
    tools = [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.input_schema)},
        }
        for tool in request.tools
    ]
    params: dict[str, Any] = {"tools": tools}
    if isinstance(choice, NamedTool):
        params["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice != "auto" and dialect.takes_tool_choice:
        params["tool_choice"] = choice
    if not request.parallel_tool_calls:
        params["parallel_tool_calls"] = False
    return params


def _has_calls(request: ModelRequest) -> bool:
    return any(isinstance(block, ToolUse) for message in request.messages for block in message.content)


def _output(request: ModelRequest, model: ModelInfo) -> tuple[str, dict[str, Any] | None]:
    """Return the system prompt and the `response_format`."""
    output = request.output_format
    if output == "text":
        return request.system, None
    if isinstance(output, OutputSchema) and model.options.enforces_schemas:
        schema = {"name": output.name, "schema": dict(output.schema), "strict": output.strict}
        described = {"description": output.description} if output.description else {}
        return request.system, {"type": "json_schema", "json_schema": schema | described}
    from atrium.llm.schemas import instruct  # not needed by most requests

    return instruct(request), {"type": "json_object"}


def _system(prompt: str) -> list[dict[str, Any]]:
    return [{"role": "system", "content": prompt}] if prompt.strip() else []


def _short_id(call_id: str) -> str:
    return call_id if len(call_id) <= CALL_ID_MAX else f"call_{sha256(call_id.encode()).hexdigest()[:32]}"


def _messages(request: ModelRequest, dialect: Dialect) -> Iterator[dict[str, Any]]:
    turn = turn_start(request.messages)
    for at, message in enumerate(request.messages):
        if message.role == "user":
            yield from _user_messages(message, dialect)
        else:
            yield from _assistant_message(message, with_thinking=dialect.takes_reasoning_back and at >= turn)
    if request.reminder:
        yield {"role": "user", "content": request.reminder}


def _user_messages(message: ModelMessage, dialect: Dialect) -> Iterator[dict[str, Any]]:
    """Yield the tool results, then one message with their images and the user's own content."""
    parts: list[dict[str, Any]] = []
    for block in message.content:
        if isinstance(block, ToolResult):
            call, images = _short_id(block.tool_use_id), _images(block.content)
            yield {"role": "tool", "tool_call_id": call, "content": _result_text(block, has_images=bool(images))}
            if images:
                parts.append({"type": "text", "text": f"Images of the result of the tool call {call}:"})
                parts.extend(_image(each, dialect) for each in images)
        elif isinstance(block, Image):
            parts.append(_image(block, dialect))
        elif isinstance(block, Text) and block.text.strip():
            parts.append({"type": "text", "text": block.text})
    if parts:
        texts = [part["text"] for part in parts if part["type"] == "text"]
        yield {"role": "user", "content": "\n\n".join(texts) if len(texts) == len(parts) else parts}


def _images(content: ResultContent) -> list[Image]:
    return [] if isinstance(content, str) else [block for block in content if isinstance(block, Image)]


def _result_text(result: ToolResult, *, has_images: bool) -> str:
    """Return the text of a result. The API has no field for errors."""
    if isinstance(result.content, str):
        text = result.content
    else:
        text = "\n".join(block.text for block in result.content if isinstance(block, Text))
    if has_images:
        text = f"{text}\nThe images of this result are in the next message of the user.".lstrip("\n")
    return f"{_ERROR_MARK}{text}" if result.is_error else text


def _image(image: Image, dialect: Dialect) -> dict[str, Any]:
    url: dict[str, str] = {"url": f"data:{image.media_type};base64,{image.data}"}
    if dialect.image_detail is not None:
        url["detail"] = dialect.image_detail
    return {"type": "image_url", "image_url": url}


def _assistant_message(message: ModelMessage, *, with_thinking: bool) -> Iterator[dict[str, Any]]:
    text = "\n\n".join(block.text for block in message.content if isinstance(block, Text) and block.text.strip())
    calls = [_call(block) for block in message.content if isinstance(block, ToolUse)]
    thinking = _thinking(message.content) if with_thinking else ""
    if text or calls:
        sent: dict[str, Any] = {"role": "assistant", "content": text or None}
        yield sent | ({"tool_calls": calls} if calls else {}) | ({"reasoning_content": thinking} if thinking else {})


def _call(call: ToolUse) -> dict[str, Any]:
    arguments = json.dumps(dict(call.input), ensure_ascii=False, separators=(",", ":"))
    return {
        "id": _short_id(call.id),
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _thinking(blocks: Iterable[Block]) -> str:
    return "".join(block.text for block in blocks if isinstance(block, Thinking) and block.signature == UNSIGNED)


@dataclass(slots=True)
class ChunkReader:
    """Reads the chunks of one response."""

    _open: set[int] = field(default_factory=set)
    _has_begun: bool = False
    _has_refused: bool = False

    def __call__(self, event: object, answer: AnswerBuilder) -> Iterator[ModelEvent]:
        """Read one chunk and yield the resulting model events. Raise `AnswerBroken` if it is invalid."""
        if not self._has_begun:
            self._has_begun = True
            answer.begin()
        if event is DONE:
            yield from answer.complete()
            return
        chunk = read_object(event, "a chunk")
        if isinstance(chunk.get("usage"), dict):
            answer.report(_figures(chunk["usage"]), final=True)
        for each in read_list(chunk, "choices"):
            choice = read_object(each, "a choice")
            if not choice.get("index"):  # only one choice is requested
                yield from self._read_choice(choice, answer)

    def _read_choice(self, choice: Mapping[str, Any], answer: AnswerBuilder) -> Iterator[ModelEvent]:
        delta = read_object(choice.get("delta") or {}, "delta")
        refusal = read_text(delta, "refusal")
        self._has_refused |= bool(refusal)
        yield from self._add(_THINKING, "thinking", read_text(delta, "reasoning_content"), answer)
        yield from self._add(_TEXT, "text", read_text(delta, "content") + refusal, answer)
        for each in read_list(delta, "tool_calls"):
            yield from self._read_call(read_object(each, "a tool call"), answer)
        reason = read_text(choice, "finish_reason")
        if reason == "network_error":  # Zhipu's report of a failed inference
            raise StreamError(reason)
        if reason:
            answer.stop("refusal" if self._has_refused else _REASONS.get(reason, "end_turn"))

    def _add(
        self, position: int, kind: Literal["text", "thinking"], text: str, answer: AnswerBuilder
    ) -> Iterator[ModelEvent]:
        if not text:
            return
        if position not in self._open:
            self._open.add(position)
            answer.open(position, kind, signature=UNSIGNED if kind == "thinking" else "")
        yield from answer.add(position, kind, text)

    def _read_call(self, call: Mapping[str, Any], answer: AnswerBuilder) -> Iterator[ModelEvent]:
        position, function = _CALLS + read_index(call), read_object(call.get("function") or {}, "function")
        if position not in self._open:
            self._open.add(position)
            answer.open(position, "tool_use", call_id=call.get("id"), name=function.get("name"))
        yield from answer.add(position, "tool_use", read_text(function, "arguments"))


def _figures(usage: Mapping[str, Any]) -> dict[str, object]:
    """Return the token counts under the field names of `Usage`. `UsageMeter` validates them against the model.

    `prompt_tokens` includes the tokens that were read from or written to the cache.
    """
    details = usage.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    prompt = read_figure(usage.get("prompt_tokens"), _FIGURE_MAX)
    figures: dict[str, object] = {"output_tokens": usage.get("completion_tokens")}
    if prompt is not None:
        read = read_figure(details.get("cached_tokens"), prompt) or 0
        written = read_figure(details.get("cache_write_tokens"), prompt - read) or 0
        figures |= {
            "input_tokens": prompt - read - written,
            "cache_read_tokens": read,
            "cache_write_tokens": written,
        }
    return figures
