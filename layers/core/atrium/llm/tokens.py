"""Counts tokens: upper bounds of a prompt before its call, and the usage of an answer.

A bound is computed from bytes and the number of images, without a call to the provider. The token counts that a
provider reports may be missing or wrong. A count is used if it is a whole number within the model's limits and not
lower than an earlier count. Missing counts are estimated at three bytes per token, and the usage is marked as
`estimated`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from atrium.llm.catalogue import ModelInfo
from atrium.llm.model import (
    Block,
    Image,
    ModelMessage,
    ModelRequest,
    NamedTool,
    OutputSchema,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Usage,
)

BYTES_PER_TOKEN = 3  # an estimate for prose in any language; used only if the provider has not counted
IMAGE_TOKENS_MAX = 92 * 92
"""An upper bound for one image. Claude counts a token for each block of 28 x 28 pixels, and first reduces an image to a
long edge of at most 2 576 pixels, which are 92 blocks (platform.claude.com/docs/en/build-with-claude/vision).
"""
_FRAME_TOKENS = 32  # per message, block and tool: roles, separators, field names
_TOOLS_TOKENS = 1_024  # the instructions that a provider adds if there are tools
_OUTPUT_TOKENS = 1_024  # the instructions that a provider or `llm.schemas` adds for an output format
_SCHEMA_GROWTH = 3  # the form of a schema that a vendor enforces has less than three times its bytes


def bound_tokens(request: ModelRequest) -> int:
    """Return an upper bound for the tokens of a prompt. A token has at least one byte of UTF-8.

    The bound is about four times the actual count for English prose.
    """
    total = _FRAME_TOKENS + _bytes(request.system) + _bytes(request.reminder)
    if request.tools:
        total += _TOOLS_TOKENS
    for tool in request.tools:
        total += _FRAME_TOKENS + _bytes(tool.name) + _bytes(tool.description) + _json_bytes(tool.input_schema)
    if isinstance(request.tool_choice, NamedTool):
        total += _bytes(request.tool_choice.name)
    total += sum(_FRAME_TOKENS + _bytes(each) for each in request.stop_sequences) + _bound_output(request)
    return total + sum(map(bound_message, request.messages))


def _bound_output(request: ModelRequest) -> int:
    """Return an upper bound for the tokens that the output format adds to the prompt."""
    output = request.output_format
    if isinstance(output, OutputSchema):
        described = _bytes(output.name) + _bytes(output.description)
        return _OUTPUT_TOKENS + described + _SCHEMA_GROWTH * _json_bytes(output.schema)
    return 0 if output == "text" else _OUTPUT_TOKENS


def bound_message(message: ModelMessage) -> int:
    """Return an upper bound for the tokens of one message of a prompt."""
    return _FRAME_TOKENS + sum(map(_bound_block, message.content))


def estimate_prompt_tokens(request: ModelRequest) -> int:
    """Return an estimate of the prompt's tokens, for providers that have not counted them."""
    return -(-bound_tokens(request) // BYTES_PER_TOKEN)


def _bound_block(block: Block) -> int:
    match block:
        case Text(text):
            return _FRAME_TOKENS + _bytes(text)
        case Image():
            return _FRAME_TOKENS + IMAGE_TOKENS_MAX
        case Thinking(text, signature):
            return _FRAME_TOKENS + _bytes(text) + _bytes(signature)
        case ToolUse(call, name, arguments):
            return _FRAME_TOKENS + _bytes(call) + _bytes(name) + _json_bytes(arguments)
        case ToolResult(call, content):
            inner = _bytes(content) if isinstance(content, str) else sum(map(_bound_block, content))
            return _FRAME_TOKENS + _bytes(call) + inner
        case _:
            assert_never(block)


def _bytes(text: str) -> int:
    return len(text.encode())


def _json_bytes(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=True, default=dict).encode())


@dataclass(slots=True)
class UsageMeter:
    """The token counts of one answer. Other threads can call `read`."""

    request: ModelRequest
    model: ModelInfo
    _known: Usage = field(default_factory=Usage)
    _has_input: bool = False
    _has_output: bool = False

    def report(self, figures: Mapping[str, object], *, final: bool) -> None:
        """Add cumulative counts with the field names of `Usage`. Until `final`, `output_tokens` is a lower bound."""
        known = self._known
        window, output_max = self.model.context_tokens, self.model.output_tokens_max
        prompt = read_figure(figures.get("input_tokens"), window)
        output = read_figure(figures.get("output_tokens"), output_max)
        self._has_input |= prompt is not None
        self._has_output |= final and output is not None and output >= known.output_tokens
        self._known = Usage(
            max(prompt or 0, known.input_tokens),
            max(output or 0, known.output_tokens),
            max(read_figure(figures.get("cache_read_tokens"), window) or 0, known.cache_read_tokens),
            max(read_figure(figures.get("cache_write_tokens"), window) or 0, known.cache_write_tokens),
        )

    def read(self, written_bytes: int) -> Usage:
        """Return the usage of an answer after `written_bytes` bytes of text have been received."""
        used = self._known
        if not self._has_input or not used.prompt_tokens:
            cached = used.cache_read_tokens + used.cache_write_tokens
            estimate = min(estimate_prompt_tokens(self.request), self.model.context_tokens) - cached
            used = replace(used, input_tokens=max(used.input_tokens, estimate), estimated=True)
        if not self._has_output or (written_bytes and not used.output_tokens):
            written = min(-(-written_bytes // BYTES_PER_TOKEN), self.request.max_tokens)
            used = replace(used, output_tokens=max(used.output_tokens, written), estimated=True)
        return used


def read_figure(reported: object, largest: int) -> int | None:
    """Return a provider's token count as an integer, or None if it is not a whole number from 0 to `largest`."""
    if isinstance(reported, bool) or not isinstance(reported, int | float):
        return None
    return int(reported) if 0 <= reported <= largest and reported == int(reported) else None
