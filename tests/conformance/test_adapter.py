"""The real Lambda Web Adapter between our Runtime API and a web server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.runtime.api import RuntimeApi
from infra.runtime.artifact import running_artifact
from tests.artifacts.adapter_contract import CHECKS, rest_event
from tests.artifacts.builders import web_artifact


@pytest.fixture(scope="module")
def api(adapter_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeApi]:
    artifact = web_artifact(tmp_path_factory.mktemp("build"))
    with running_artifact(artifact, artifact.function.environment, adapter=adapter_binary) as running:
        yield running


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_adapter(api: RuntimeApi, check: Callable[[RuntimeApi], None]) -> None:
    check(api)


def test_adapter_does_not_report_an_interrupted_stream(api: RuntimeApi) -> None:
    """The adapter writes the trailers of the error into the body, so clients must check for the last event."""
    result = api.invoke(rest_event("/v1/drop"), 20)
    assert result.status == "succeeded"
    assert result.payload.startswith(b"id: 1\n\nid: 2\n\nLambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n")
