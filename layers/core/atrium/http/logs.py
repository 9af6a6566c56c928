"""Writes logs as JSON lines (Powertools), and metrics in CloudWatch's embedded metric format.

The ids of a call are bound once and added to each log line of the call, including lines that are written with
`logging.getLogger(__name__)`. Bodies, headers and credentials are never logged. A tenant is never a metric dimension.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.filters import SuppressFilter

if TYPE_CHECKING:  # the authorizer imports this module and must not import the modules of chat
    from atrium.llm.resilience import ModelCall
    from atrium.runs.model import Run
    from atrium.tools.registry import ToolCallEnd

_ORDER = ["level", "timestamp", "message", "request_id", "tenant_id", "session_id"]


class _StandardOutput(logging.StreamHandler[TextIO]):
    """A log handler that writes to the current `sys.stdout`, even if `sys.stdout` was replaced after its creation."""

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        """Do nothing, because the stream is always `sys.stdout`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the log line without the name of the asyncio task."""
        record.taskName = None
        super().emit(record)


def make_logger(service: str | None = None, **options: Any) -> Logger:
    """Return a logger whose level is the value of the environment variable `LOG_LEVEL`.

    By default, Powertools would use the log level that is configured in Lambda. That level is always INFO or DEBUG,
    because Lambda drops lines below it and treats metric lines, which have no level, as INFO.
    """
    made = Logger(service=service, **options)
    logging.getLogger(made.name).setLevel(os.environ.get("LOG_LEVEL", "INFO"))
    return made


@cache
def logger() -> Logger:
    """Return the logger of this process, configured by the environment variables of Powertools."""
    made = make_logger(
        logger_handler=_StandardOutput(),
        log_record_order=_ORDER,
        utc=True,
        use_rfc3339=True,
        serialize_stacktrace=False,
    )
    domain = logging.getLogger("atrium")
    domain.setLevel(made.log_level)
    domain.addHandler(made.registered_handler)
    for handler in logging.getLogger().handlers:
        if type(handler).__module__.startswith("awslambdaric"):
            handler.addFilter(SuppressFilter("atrium"))
    return made


def bind(**ids: str) -> None:
    """Add ids to all subsequent log lines of this call. Empty ids are omitted."""
    logger().thread_safe_append_keys(**{name: value for name, value in ids.items() if value})


def unbind() -> None:
    """Remove the ids of the previous call."""
    logger().thread_safe_clear_keys()


def count(name: str) -> None:
    """Increment a CloudWatch metric, such as `LoginsRefused`."""
    measure({name: 1})


def measure(counts: Mapping[str, int], *, duration: tuple[str, float] | None = None, **fields: Any) -> None:
    """Write one line with CloudWatch metrics: counts, and optionally the name and the seconds of a duration.

    The line also contains the ids of the call and `fields`, which are not dimensions. It does not depend on the log
    level.
    """
    from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

    metrics = EphemeralMetrics(namespace="Atrium")
    for name, value in counts.items():
        metrics.add_metric(name, MetricUnit.Count, value)
    if duration is not None:
        metrics.add_metric(duration[0], MetricUnit.Milliseconds, round(duration[1] * 1000))
    for name, field in {**logger().thread_safe_get_current_keys(), **fields}.items():
        metrics.add_metadata(name, field)
    # One write, because lines of several threads must not be joined.
    sys.stdout.write(f"{json.dumps(metrics.serialize_metric_set(), separators=(',', ':'))}\n")


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
    if run is not None and run.is_waiting:
        logger().info("run waits for approval", calls=len(run.waiting_for))
        return
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
