"""The execution of tool calls. Every call has a result."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, replace

from atrium.agent.heartbeat import StopSignal
from atrium.llm.model import ToolResult, ToolUse
from atrium.runs.model import LoopEvent, Message, Spend
from atrium.tools.model import ToolContext
from atrium.tools.registry import ImageBudget, ToolAnswer, ToolRegistry

PARALLEL_MAX = 8
_LOOK_SECONDS = 0.2

STOPPED = ToolAnswer("The run was stopped before this tool had answered.", is_error=True)
INTERRUPTED = "Your last answer was interrupted. Continue it; do not repeat what it says."
UNKNOWN = (
    "The outcome of this call is unknown, because the worker failed while the tool ran. The call may have had its "
    "effect. Check this before you repeat the call."
)
CUT_OFF = ToolAnswer("Not called: the answer ended before its tool calls were complete.", is_error=True)


@dataclass(frozen=True, slots=True)
class Resumption:
    """The state of a run that another worker left.

    `calls` are the tool calls of the last message. Of these, `made` are made, possibly again, and all others have a
    result in `results`. `unseen` are the events of recorded messages and results that are not stored. `text` was
    streamed, but not recorded.
    """

    messages: tuple[Message, ...]
    calls: tuple[ToolUse, ...]
    made: tuple[ToolUse, ...]
    results: tuple[ToolResult, ...]
    unseen: tuple[LoopEvent, ...]
    spend: Spend
    iterations: int
    text: str = ""


def answer_calls(
    calls: Sequence[ToolUse], tools: ToolRegistry, context: ToolContext, signal: StopSignal
) -> Iterator[tuple[int, ToolAnswer]]:
    """Run tool calls in parallel and yield the index and result of each. A stop signal ends the wait for open calls."""

    def run(call: ToolUse) -> ToolAnswer:
        if signal.cause:
            return STOPPED
        return tools.call(call.name, call.input, replace(context, idempotency_key=f"{context.run_id}-{call.id}"))

    if not calls:
        return
    budget = ImageBudget()
    pool = ThreadPoolExecutor(min(PARALLEL_MAX, len(calls)), thread_name_prefix="tools")
    try:
        waiting: dict[Future[ToolAnswer], int] = {
            pool.submit(copy_context().run, run, call): at for at, call in enumerate(calls)
        }
        while waiting and signal.cause is None:
            for done in wait(waiting, _LOOK_SECONDS, FIRST_COMPLETED).done:
                yield waiting.pop(done), budget.fit(done.result())
        for late, at in waiting.items():
            yield at, budget.fit(late.result()) if late.done() and not late.cancelled() else STOPPED
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def result_of(call: ToolUse, answer: ToolAnswer) -> ToolResult:
    return ToolResult(call.id, answer.result, answer.is_error)
