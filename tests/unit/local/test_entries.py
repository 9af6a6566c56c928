"""Log lines from all sources are parsed into entries."""

import json

import pytest

from infra.local.logs.entries import Entry, read_entry
from tests.unit.local.builders import read_clock


def read(line: str) -> Entry:
    return read_entry("chat", line, read_clock())


def test_powertools() -> None:
    line = json.dumps(
        {
            "level": "WARN",
            "location": "handler:12",
            "message": "slow",
            "timestamp": "2026-11-21 09:30:15,123+0000",
            "service": "chat",
            "cold_start": True,
            "request_id": "req-1",
            "tenant_id": "ten_1",
            "steps": [1, {"a": "ü"}],
            "absent": None,
            "exception": "Traceback (most recent call last):\n  File x\nValueError: y",
        }
    )
    entry = read(line)
    assert (entry.level, entry.message, entry.request_id) == ("WARNING", "slow", "req-1")
    assert entry.details == (("tenant_id", "ten_1"), ("steps", '[1,{"a":"ü"}]'))
    assert entry.trace == ("Traceback (most recent call last):", "  File x", "ValueError: y")


def test_message_that_is_an_object() -> None:
    assert read('{"level":"INFO","message":{"a":1}}').message == '{"a":1}'


def test_runtime_in_text() -> None:
    entry = read("[ERROR]\t2026-11-21T09:30:15.123Z\t6f1c\tboom\n")
    assert (entry.level, entry.message, entry.request_id) == ("ERROR", "boom", "6f1c")


def test_failure_in_text() -> None:
    entry = read('[ERROR] ValueError: no\rTraceback (most recent call last):\r  File "/x.py", line 1')
    assert (entry.level, entry.message) == ("ERROR", "ValueError: no")
    assert entry.trace == ("Traceback (most recent call last):", '  File "/x.py", line 1')


def test_failure_in_json() -> None:
    fields = {"log_level": "ERROR", "errorMessage": "no", "errorType": "ValueError", "requestId": "6f1c"}
    entry = read(json.dumps(fields | {"stackTrace": ["  a\n", "  b\n"]}))
    assert (entry.level, entry.message, entry.request_id) == ("ERROR", "ValueError: no", "6f1c")
    assert entry.trace == ("  a", "  b")


def test_refusal_of_an_authorizer_is_no_failure() -> None:
    entry = read('{"log_level":"ERROR","errorMessage":"Unauthorized","errorType":"Exception","requestId":"6f1c"}')
    assert (entry.level, entry.trace) == ("DEBUG", ())


@pytest.mark.parametrize(
    "line",
    [
        '{"level":"WARN","message":"LAMBDA_WARNING: Unhandled exception."}',
        "[WARNING]\t2026-11-21T09:30:15.123Z\t\tLAMBDA_WARNING: Unhandled exception.",
    ],
)
def test_advice_of_the_runtime_is_dropped(line: str) -> None:
    assert read(line).level == "DEBUG"


def test_libraries_log_at_debug() -> None:
    line = '{"level":"INFO","message":"Found credentials","logger":"botocore.credentials","taskName":"Task-1"}'
    assert (read(line).level, read(line).details) == ("DEBUG", ())
    assert read(line.replace("INFO", "WARNING")).level == "WARNING"


def test_metrics() -> None:
    entry = read(
        '{"_aws":{"CloudWatchMetrics":[{"Metrics":[{"Name":"Turns"},{"Name":"Tokens"}]}]},"Turns":[1.0],"Tokens":7}'
    )
    assert (entry.level, entry.message) == ("DEBUG", "metrics")
    assert entry.details == (("Turns", "[1.0]"), ("Tokens", "7"))


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        ("2026-11-21 09:13:29 WARNING [events] slow", "WARNING", "events: slow"),
        ("[2026-11-21 09:10:49 +0000] [9441] [INFO] Running on x", "INFO", "Running on x"),
        ("CRITICAL:    Address in use", "ERROR", "Address in use"),
        ("plain words", "INFO", "plain words"),
        ("{not json", "INFO", "{not json"),
        ("[1, 2]", "INFO", "[1, 2]"),
    ],
)
def test_other_lines(line: str, level: str, message: str) -> None:
    entry = read(line)
    assert (entry.level, entry.message, entry.continued) == (level, message, False)


@pytest.mark.parametrize("line", ["  File x", "\tat y", "Traceback (most recent call last):"])
def test_continuation(line: str) -> None:
    assert read(line).continued


def test_access_line_of_a_function_is_debug_because_the_gateway_has_one() -> None:
    line = '{"level":"INFO","message":"access","path":"/v1/chat","status":200}'
    assert read(line).level == "DEBUG"
