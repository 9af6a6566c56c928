"""Checks a request before its call, and bounds its prompt tokens for the reservation, without asking the provider."""

import json
from typing import assert_never

from atrium.kernel.errors import ValidationFailed
from atrium.llm.catalogue import ModelInfo, find_model
from atrium.llm.model import Block, ModelRequest, Text, Thinking, ToolResult, ToolUse

BYTES_PER_TOKEN = 3  # a guess for prose in any language; used only where the provider has not counted
_FRAME_TOKENS = 32  # per message, block and tool: roles, separators, names of fields
_TOOLS_TOKENS = 1_024  # the instructions that a provider adds when there are tools


def bound_tokens(request: ModelRequest) -> int:
    """Return how many tokens the prompt has at most: a token is at least one byte of UTF-8.

    About four times the real figure for English prose.
    """
    total = _FRAME_TOKENS + _bytes(request.system)
    if request.tools:
        total += _TOOLS_TOKENS
    for tool in request.tools:
        total += _FRAME_TOKENS + _bytes(tool.name) + _bytes(tool.description) + _json_bytes(tool.input_schema)
    for message in request.messages:
        total += _FRAME_TOKENS + sum(_FRAME_TOKENS + _block_bytes(block) for block in message.content)
    return total


def estimate_prompt_tokens(request: ModelRequest) -> int:
    """Return about how many tokens the prompt has, where the provider has not counted them."""
    return -(-bound_tokens(request) // BYTES_PER_TOKEN)


def check_request(request: ModelRequest) -> ModelInfo:
    """Return the request's model; `ValidationFailed` for one that the catalogue lacks or that cannot take it."""
    model = find_model(request.model)
    if model is None:
        raise ValidationFailed("the model is not in the catalogue")
    if request.temperature is not None and not model.accepts_temperature:
        raise ValidationFailed(f"the model {model.id} takes no temperature")
    if not 1 <= request.max_tokens <= model.output_tokens_max:
        raise ValidationFailed(f"max_tokens of {model.id} is from 1 to {model.output_tokens_max}")
    return model


def _block_bytes(block: Block) -> int:
    match block:
        case Text(text):
            return _bytes(text)
        case Thinking(text, signature):
            return _bytes(text) + _bytes(signature)
        case ToolUse(call, name, arguments):
            return _bytes(call) + _bytes(name) + _json_bytes(arguments)
        case ToolResult(call, content):
            return _bytes(call) + _bytes(content)
        case _:
            assert_never(block)


def _bytes(text: str) -> int:
    return len(text.encode())


def _json_bytes(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=True, default=dict).encode())
