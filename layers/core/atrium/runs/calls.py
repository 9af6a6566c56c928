"""The execution of tool calls. Every call has a result."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import replace

from atrium.llm.model import ToolResult, ToolUse
from atrium.runs.heartbeat import StopSignal
from atrium.runs.steps import STOPPED
from atrium.tools.model import ToolContext
from atrium.tools.registry import ImageBudget, ToolAnswer, ToolRegistry

PARALLEL_MAX = 8
_LOOK_SECONDS = 0.2

CUT_OFF = ToolAnswer("Not called: the answer ended before its tool calls were complete.", is_error=True)


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
