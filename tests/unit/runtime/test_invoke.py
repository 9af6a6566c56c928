"""The output of `make invoke`, and its error lines."""

import json
from pathlib import Path

import pytest

from infra.runtime import invoke
from infra.runtime.environment import read_overrides
from infra.runtime.results import Chunk, Invocation, Prelude
from infra.runtime.sandbox import ENV_FILE
from infra.runtime.template import ROOT


def finished(payload: bytes, prelude: Prelude | None = None) -> Invocation:
    return Invocation("id", "succeeded", payload, (Chunk(0.1, payload),), prelude, None, 0.1)


def test_buffered_answer_is_printed_as_it_is() -> None:
    assert invoke.render(finished(b'{"statusCode":200}')) == {"statusCode": 200}


def test_streamed_answer_is_printed_with_status_headers_and_body() -> None:
    prelude = Prelude(403, {"content-type": "application/problem+json"}, ("a=1",))
    assert invoke.render(finished("é".encode(), prelude)) == {
        "statusCode": 403,
        "headers": {"content-type": "application/problem+json"},
        "cookies": ["a=1"],
        "body": "é",
    }


@pytest.mark.parametrize("content", [None, "", "{"])
def test_invalid_event_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    event = tmp_path / "event.json"
    if content is not None:
        event.write_text(content)
    assert invoke.main(["--function", "chat", "--event", str(event)]) == 2
    assert "is not a JSON event" in capsys.readouterr().err.splitlines()[-1]


def test_env_file_has_the_names_of_the_sandbox() -> None:
    names = read_overrides(ENV_FILE)["Parameters"]
    assert names["TABLE_NAME"] == "atrium-local-table"
    assert json.loads(ENV_FILE.read_text()).keys() == {"Parameters"}


@pytest.mark.parametrize("arguments", [[], ["--function", "chat"], ["--event", "tests/events/chat/answer.json"]])
def test_missing_argument_prints_the_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert invoke.main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "usage: make invoke FUNCTION=<name> EVENT=<file>"
    assert "usage_stream" in lines[2]


def test_unknown_function_is_refused_before_a_sandbox_is_prepared(capsys: pytest.CaptureFixture[str]) -> None:
    # Preparing a sandbox opens a port, which tests in this folder may not do.
    event = ROOT / "tests" / "events" / "chat" / "answer.json"
    assert invoke.main(["--function", "chatt", "--event", str(event)]) == 2
    assert "function chatt not found; known functions: admin, " in capsys.readouterr().err
