"""Reads one line of a child process into an entry, whatever wrote it.

Powertools writes JSON, the Lambda runtime tab-separated text, the emulator and uvicorn lines of their own; what is none
of these is a message. Metrics in CloudWatch's embedded format are told from logs by their `_aws` key.
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
_CONTINUED = re.compile(r"\s|Traceback \(most recent call last\)|During handling of|The above exception")
_REQUEST_ID_KEYS = ("request_id", "correlation_id", "function_request_id")
_KNOWN = frozenset(
    {"level", "message", "timestamp", "service", "location", "exception", "stack_trace", *_REQUEST_ID_KEYS}
    | {"cold_start", "function_name", "function_memory_size", "function_arn", "xray_trace_id", "exception_name"}
    | {"sampling_rate", "logger", "time", "logLevel"}
)


@dataclass(frozen=True)
class Entry:
    """One event: when it was read, who wrote it, and what is worth a developer's eye; `trace` has its own lines."""

    time: datetime
    component: str
    level: str
    message: str
    request_id: str = ""
    details: tuple[tuple[str, str], ...] = ()
    trace: tuple[str, ...] = ()
    continued: bool = False


def read_entry(component: str, line: str, time: datetime) -> Entry:
    """Return the entry that a line makes; never fails."""
    if line.startswith("{"):
        try:
            fields = json.loads(line)
        except ValueError:
            fields = None
        if isinstance(fields, dict):
            return _metric(component, fields, time) if "_aws" in fields else _structured(component, fields, time)
    if matched := _RUNTIME.match(line):
        level, request_id, message = matched.groups()
        return Entry(time, component, _level(level), message.strip(), request_id)
    if matched := _EMULATOR.match(line):
        level, service, message = matched.groups()
        return Entry(time, component, _level(level), f"{service}: {message}")
    for shape in (_HYPERCORN, _UVICORN, _RUNTIME_FAILURE):
        if matched := shape.match(line):
            return Entry(time, component, _level(matched[1]), matched[2])
    return Entry(time, component, "INFO", line, continued=_CONTINUED.match(line) is not None)


def _level(name: object) -> str:
    level = str(name).upper()
    level = _NAMES.get(level, level)
    return level if level in LEVELS else "INFO"


def _structured(component: str, fields: dict[str, Any], time: datetime) -> Entry:
    request_id = next((str(fields[key]) for key in _REQUEST_ID_KEYS if fields.get(key)), "")
    details = tuple((key, _short(value)) for key, value in fields.items() if key not in _KNOWN and value is not None)
    trace = str(fields.get("exception") or "").splitlines()
    message = fields.get("message", fields.get("errorMessage", ""))
    return Entry(
        time, component, _level(fields.get("level", "INFO")), _short(message), request_id, details, tuple(trace)
    )


def _metric(component: str, fields: dict[str, Any], time: datetime) -> Entry:
    directives = fields["_aws"].get("CloudWatchMetrics", []) if isinstance(fields["_aws"], dict) else []
    names = [str(metric.get("Name")) for directive in directives for metric in directive.get("Metrics", [])]
    details = tuple((name, _short(fields.get(name))) for name in names)
    return Entry(time, component, "DEBUG", "metrics", str(fields.get("function_request_id", "")), details)


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
