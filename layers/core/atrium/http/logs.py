"""The log: JSON lines by Powertools, and metrics in the embedded format of CloudWatch.

The ids of a call are bound once and are part of each of its lines, also of those that other modules write with
`logging.getLogger(__name__)`. Never bodies, headers or credentials; a tenant is never a metric dimension.
"""

import logging
import os
import sys
from functools import cache
from typing import Any, TextIO

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.filters import SuppressFilter

_ORDER = ["level", "timestamp", "message", "request_id", "tenant_id", "session_id"]


class _StandardOutput(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stdout` is at that moment, so that a logger outlives a redirection."""

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        """Take no notice: there is nothing to keep."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line without the event loop's name for its task."""
        record.taskName = None
        super().emit(record)


def make_logger(service: str | None = None, **options: Any) -> Logger:
    """Return a logger at the level of `LOG_LEVEL`.

    Powertools prefers the level of Lambda itself, which is never above INFO: Lambda drops what is below it, and takes
    the lines of metrics, which have no level, for INFO.
    """
    made = Logger(service=service, **options)
    logging.getLogger(made.name).setLevel(os.environ.get("LOG_LEVEL", "INFO"))
    return made


@cache
def logger() -> Logger:
    """Return the logger of this process, named and levelled by its environment (Powertools' variables)."""
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
    """Add ids to every further line of this call; empty ones are left out."""
    logger().thread_safe_append_keys(**{name: value for name, value in ids.items() if value})


def unbind() -> None:
    """Forget the ids of the last call."""
    logger().thread_safe_clear_keys()


def count(name: str) -> None:
    """Count one of something, named as `LoginsRefused`."""
    from aws_lambda_powertools.metrics import MetricUnit, single_metric

    with single_metric(name=name, unit=MetricUnit.Count, value=1, namespace="Atrium"):
        return
