"""Parses a log line of a child process.

Powertools writes JSON, the Lambda runtime writes tab-separated text, and the emulator and uvicorn use other formats. A
line in any other format is a message. Metrics in CloudWatch's embedded format have an `_aws` key.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_NAMES = {"WARN": "WARNING", "CRITICAL": "ERROR", "FATAL": "ERROR", "TRACE": "DEBUG"}
_RUNTIME = re.compile(r"\[([A-Z]+)\]\t[^\t]*Z\t([^\t]*)\t(.*)", re.DOTALL)
_RUNTIME_FAILURE = re.compile(r"\[(ERROR|WARNING)\] ?(.*)", re.DOTALL)
_EMULATOR = re.compile(r"\d{4}-\d\d-\d\d [\d:,.]+ ([A-Z]+) \[([^\]]+)\] (.*)")
_HYPERCORN = re.compile(r"\[\d{4}-[^\]]+\] \[\d+\] \[([A-Z]+)\] (.*)")
_UVICORN = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL): +(.*)")
# The runtime's advice about runtime updates, logged on every failed import.
_ADVICE = "LAMBDA_WARNING: "
# Loggers whose INFO lines are about internal work.
_LIBRARIES = ("botocore", "boto3", "httpx", "mangum", "urllib3")
# If an authorizer raises this message, API Gateway returns 401. It is not a failure.
_UNAUTHORIZED = "Unauthorized"
# The message of the access log line that a function writes for each call. The gateway also writes such a line.
_ACCESS = "access"
_CONTINUED = re.compile(r"\s|Traceback \(most recent call last\)|During handling of|The above exception")
_REQUEST_ID_KEYS = ("request_id", "correlation_id", "function_request_id", "requestId")
_KNOWN = frozenset(
    {"level", "log_level", "message", "timestamp", "time", "service", "location", "logger", *_REQUEST_ID_KEYS}
    | {"exception", "exception_name", "stack_trace", "stackTrace", "errorMessage", "errorType", "sampling_rate"}
    | {"taskName", "cold_start", "function_name", "function_memory_size", "function_arn", "xray_trace_id"}
)


@dataclass(frozen=True)
class Entry:
    """A log entry with time, component, level and message.

    `trace` contains the lines of a traceback. `continued` is true for a line that continues the previous entry.
    """

    time: datetime
    component: str
    level: str
    message: str
    request_id: str = ""
    details: tuple[tuple[str, str], ...] = ()
    trace: tuple[str, ...] = ()
    continued: bool = False


def read_entry(component: str, line: str, time: datetime) -> Entry:
    """Parse a line of a child process. Does not raise an error for an invalid line."""
    if line.startswith("{"):
        try:
            fields = json.loads(line)
        except ValueError:
            fields = None
        if isinstance(fields, dict):
            return _metric(component, fields, time) if "_aws" in fields else _structured(component, fields, time)
    # The runtime separates the lines of one event with carriage returns.
    line, *trace = line.split("\r")
    if matched := _RUNTIME.match(line):
        level, request_id, message = matched.groups()
        shown = "DEBUG" if message.startswith(_ADVICE) else _level(level)
        return Entry(time, component, shown, message.strip(), request_id, trace=tuple(trace))
    if matched := _EMULATOR.match(line):
        level, service, message = matched.groups()
        return Entry(time, component, _level(level), f"{service}: {message}")
    for shape in (_HYPERCORN, _UVICORN, _RUNTIME_FAILURE):
        if matched := shape.match(line):
            return Entry(time, component, _level(matched[1]), matched[2], trace=tuple(trace))
    return Entry(time, component, "INFO", line, trace=tuple(trace), continued=_CONTINUED.match(line) is not None)


def _level(name: object) -> str:
    level = str(name).upper()
    level = _NAMES.get(level, level)
    return level if level in LEVELS else "INFO"


def _structured(component: str, fields: dict[str, Any], time: datetime) -> Entry:
    request_id = next((str(fields[key]) for key in _REQUEST_ID_KEYS if fields.get(key)), "")
    details = tuple((key, _short(value)) for key, value in fields.items() if key not in _KNOWN and value is not None)
    message = _short(fields.get("message", ""))
    level = "DEBUG" if message.startswith(_ADVICE) else _level(fields.get("level", fields.get("log_level", "INFO")))
    if level == "INFO" and str(fields.get("logger", "")).startswith(_LIBRARIES):
        level = "DEBUG"
    if message == _ACCESS:
        level = "DEBUG"
    if fields.get("errorMessage") == _UNAUTHORIZED:
        return Entry(time, component, "DEBUG", "refused as unauthorized", request_id)
    if "errorType" in fields:
        message = f"{message} {fields['errorType']}: {fields.get('errorMessage', '')}".strip()
    return Entry(time, component, level, message, request_id, details, _read_trace(fields))


def _read_trace(fields: dict[str, Any]) -> tuple[str, ...]:
    """Return the lines of a traceback, which Powertools writes as text and the runtime as a list."""
    found = fields.get("exception") or fields.get("stackTrace") or ""
    text = "".join(str(part) for part in found) if isinstance(found, list) else str(found)
    return tuple(text.splitlines())


def _metric(component: str, fields: dict[str, Any], time: datetime) -> Entry:
    directives = fields["_aws"].get("CloudWatchMetrics", []) if isinstance(fields["_aws"], dict) else []
    names = [str(metric.get("Name")) for directive in directives for metric in directive.get("Metrics", [])]
    details = tuple((name, _short(fields.get(name))) for name in names)
    return Entry(time, component, "DEBUG", "metrics", str(fields.get("function_request_id", "")), details)


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
