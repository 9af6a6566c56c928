"""Writes one line with metrics for each model call, each tool call and each ended run."""

from atrium.http.logs import measure
from atrium.llm.resilience import ModelCall
from atrium.runs.model import Run
from atrium.tools.registry import ToolCallEnd


def record_model_call(call: ModelCall) -> None:
    counts = {
        "ModelCalls": 1,
        "ModelErrors": int(call.error is not None),
        "InputTokens": call.usage.prompt_tokens,
        "OutputTokens": call.usage.output_tokens,
    }
    measure(
        counts,
        duration=("ModelLatency", call.seconds),
        message="model call",
        model=call.model,
        error=call.error,
        interrupted=call.interrupted,
    )


def record_tool_call(call: ToolCallEnd) -> None:
    counts = {"ToolCalls": 1, "ToolErrors": int(call.is_error)}
    measure(counts, duration=("ToolLatency", call.seconds), message="tool call", tool=call.tool)


def record_run(run: Run | None) -> None:
    """Record the end of a run. None: the run could not be committed, and the sweeper will end it."""
    outcome = run.outcome if run else None
    if run is None or outcome is None or run.ended_at is None:
        measure({"Runs": 1, "RunFailures": 1}, message="run not committed")
        return
    measure(
        {"Runs": 1, "RunFailures": int(outcome.status == "failed"), "Iterations": outcome.iterations},
        duration=("RunDuration", (run.ended_at - run.started_at).total_seconds()),
        message="run ended",
        status=outcome.status,
        stop_reason=outcome.stop_reason,
        error=outcome.error.code if outcome.error else None,
        model=outcome.model,
        degraded=outcome.degraded,
    )
