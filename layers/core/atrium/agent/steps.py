"""What the loop yields, and what one round of tool calls gives. Every call is answered, always."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from atrium.agent.signals import StopSignal
from atrium.llm.model import ToolResult, ToolUse
from atrium.tools.model import ToolContext
from atrium.tools.registry import ToolAnswer, ToolRegistry

_CANCELLED = ToolAnswer("The run was stopped before this tool was called.", is_error=True)
PARALLEL_MAX = 8


@dataclass(frozen=True, slots=True)
class TextPiece:
    text: str


@dataclass(frozen=True, slots=True)
class ThinkingPiece:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    call: ToolUse


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    call: ToolUse
    answer: ToolAnswer


type LoopEvent = TextPiece | ThinkingPiece | ToolCalled | ToolAnswered


def answer_calls(
    calls: list[ToolUse], tools: ToolRegistry, context: ToolContext, signal: StopSignal
) -> Iterator[ToolAnswered]:
    """Run the calls of one step side by side and yield each answer as it comes."""

    def run(call: ToolUse) -> ToolAnswer:
        return _CANCELLED if signal.cause else tools.call(call.name, call.input, context)

    with ThreadPoolExecutor(min(PARALLEL_MAX, len(calls)), thread_name_prefix="tools") as pool:
        waiting = {pool.submit(run, call): call for call in calls}
        for done in as_completed(waiting):
            yield ToolAnswered(waiting[done], done.result())


def result_of(answered: ToolAnswered) -> ToolResult:
    return ToolResult(answered.call.id, answered.answer.content, answered.answer.is_error)
