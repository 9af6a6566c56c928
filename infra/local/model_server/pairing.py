"""The rule of tool history: a turn's tool calls are answered, all of them, at the start of the next user turn.

Consecutive messages of one role are one turn, as Anthropic's API combines them.
"""

from collections.abc import Sequence
from itertools import groupby

from infra.local.model_server.content import Block, ToolResult, ToolUse
from infra.local.model_server.errors import ApiError


def check_tool_pairs(messages: Sequence[tuple[str, list[Block]]]) -> None:
    """Raise 400 for a call without its result, a result without its call, or a call's id used twice."""
    asked: list[str] = []
    asked_at = 0
    seen: set[str] = set()
    for role, group in groupby(enumerate(messages), key=lambda item: item[1][0]):
        numbered = list(group)
        index = numbered[0][0]
        blocks = [block for _, (_, content) in numbered for block in content]
        answered = _results(role, index, blocks)
        _require_answers(asked_at, [call for call in asked if call not in answered])
        for result in answered:
            if result not in asked:
                raise ApiError(
                    400,
                    f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {result}. Each "
                    "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
                )
        asked, asked_at = _calls(role, numbered, seen)
    _require_answers(asked_at, asked)


def _require_answers(index: int, missing: list[str]) -> None:
    if missing:
        raise ApiError(
            400,
            f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            "message.",
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


def _calls(role: str, numbered: list[tuple[int, tuple[str, list[Block]]]], seen: set[str]) -> tuple[list[str], int]:
    calls: list[str] = []
    at = numbered[-1][0]
    for index, (_, content) in numbered:
        for block in content:
            if isinstance(block, ToolUse):
                if role != "assistant":
                    raise ApiError(400, f"messages.{index}: `tool_use` blocks can only be in `assistant` messages")
                if block.id in seen:
                    raise ApiError(400, f"messages.{index}: `tool_use` ids must be unique")
                seen.add(block.id)
                calls.append(block.id)
                at = index
    return calls, at
