"""A built function can import only its artifact, its layers and the standard library."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.runtime.artifact import Artifact, ArtifactMissing, running_artifact
from infra.runtime.results import Invocation
from infra.runtime.ric import interface_client
from tests.artifacts.builders import handler_artifact, web_artifact

pytestmark = pytest.mark.loopback


def invoke(artifact: Artifact, *events: object, **variables: str) -> list[Invocation]:
    with running_artifact(artifact, {**artifact.function.environment, **variables}) as api:
        return [api.invoke(json.dumps(event).encode(), 10) for event in events]


def test_handler_answers_with_its_context(tmp_path: Path) -> None:
    first, second = invoke(handler_artifact(tmp_path), {"n": 1}, {"n": 2})
    answer: Any = first.json()
    assert (answer["event"], answer["layer"]) == ({"n": 1}, "from the layer")
    assert (answer["request_id"], answer["memory"]) == (first.request_id, "512")
    assert answer["arn"].endswith(":function:PlainFunction")
    assert answer["client"] is None
    assert answer["folder"] == str(tmp_path / "PlainFunction")
    assert second.seconds < 0.1


def test_path_is_artifact_layers_and_standard_library(tmp_path: Path) -> None:
    answer: Any = invoke(handler_artifact(tmp_path), {})[0].json()
    first = [str(tmp_path / "PlainFunction"), str(tmp_path / "PlainLayer" / "python"), str(interface_client())]
    assert answer["path"][:3] == first
    assert not [entry for entry in answer["path"] if "site-packages" in entry or ".venv" in entry]


def test_packages_of_this_machine_cannot_be_imported(tmp_path: Path) -> None:
    asked = ["layered", "json", "awslambdaric", "pytest", "boto3", "atrium", "infra", "pip"]
    answer = invoke(handler_artifact(tmp_path, "handlers.modules"), asked)[0].json()
    assert answer == ["layered", "json", "awslambdaric"]


def test_environment_is_built_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_SHELL", "1")
    answer: Any = invoke(handler_artifact(tmp_path, TABLE_NAME="t"), {}, LOG_LEVEL="DEBUG")[0].json()
    seen = answer["environment"]
    assert (seen["TABLE_NAME"], seen["LOG_LEVEL"], seen["_HANDLER"]) == ("t", "DEBUG", "handlers.handler")
    assert (seen["AWS_REGION"], seen["AWS_LAMBDA_FUNCTION_NAME"]) == ("eu-central-1", "PlainFunction")
    assert seen["LAMBDA_TASK_ROOT"] == str(tmp_path / "PlainFunction")
    assert not {"A_SECRET_OF_THE_SHELL", "HOME", "VIRTUAL_ENV"} & set(seen)


def test_failure_of_the_handler_leaves_it_running(tmp_path: Path) -> None:
    failed, fine = invoke(handler_artifact(tmp_path), {"fail": "no"}, {})
    assert failed.error is not None
    assert (failed.error.type, failed.error.message) == ("ValueError", "no")
    assert "handlers.py" in failed.error.trace[0]
    assert fine.status == "succeeded"


def test_process_that_ends_fails_the_invocation_at_once(tmp_path: Path) -> None:
    ended, later = invoke(handler_artifact(tmp_path), {"exit": 7}, {})
    assert ended.error is not None
    assert (ended.error.type, ended.error.message) == ("Runtime.ExitError", "python exited with status 7")
    assert later.error == ended.error
    assert ended.seconds < 5


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        ("nowhere.handler", "Runtime.ImportModuleError"),
        ("broken.handler", "Runtime.ImportModuleError"),
        ("handlers.nothing", "Runtime.HandlerNotFound"),
    ],
)
def test_function_that_cannot_start_says_why(tmp_path: Path, handler: str, kind: str) -> None:
    error = invoke(handler_artifact(tmp_path, handler), {})[0].error
    assert error is not None
    assert error.type == kind


def test_missing_builds_are_named(tmp_path: Path) -> None:
    artifact = handler_artifact(tmp_path)
    (tmp_path / "PlainLayer").rename(tmp_path / "Other")
    with pytest.raises(ArtifactMissing, match="PlainLayer is not built"):
        invoke(artifact, {})


def test_missing_script_is_named(tmp_path: Path) -> None:
    artifact = web_artifact(tmp_path)
    (tmp_path / "WebFunction" / "run.sh").chmod(0o644)
    with pytest.raises(ArtifactMissing, match=r"WebFunction has no executable run\.sh"):
        invoke(artifact, {})


def test_web_server_that_does_not_start_fails_the_invocation(tmp_path: Path) -> None:
    artifact = web_artifact(tmp_path)
    (tmp_path / "WebFunction" / "web.py").write_text("raise SystemExit(3)\n")
    error = invoke(artifact, {})[0].error
    assert error is not None
    assert (error.type, error.message) == ("Runtime.ExitError", "run.sh exited with status 3")
