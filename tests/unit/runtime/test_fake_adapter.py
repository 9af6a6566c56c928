"""The fake adapter fulfils the same contract as the real adapter, which tests/conformance checks."""

from collections.abc import Callable, Iterator

import pytest

from infra.runtime.api import RuntimeApi
from infra.runtime.artifact import running_artifact
from tests.artifacts.adapter_contract import CHECKS, rest_event
from tests.artifacts.builders import web_artifact

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeApi]:
    artifact = web_artifact(tmp_path_factory.mktemp("build"))
    with running_artifact(artifact, artifact.function.environment) as running:
        yield running


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_fake_adapter(api: RuntimeApi, check: Callable[[RuntimeApi], None]) -> None:
    check(api)


def test_invalid_event_is_an_error_of_the_function(api: RuntimeApi) -> None:
    result = api.invoke(b'{"Records":[]}', 5)
    assert result.error is not None
    assert result.error.type == "KeyError"
    assert api.invoke(rest_event("/v1/echo"), 5).status == "succeeded"


def test_server_that_disconnects_fails_the_stream(api: RuntimeApi) -> None:
    result = api.invoke(rest_event("/v1/drop"), 5)
    assert result.status == "failed"
    assert result.payload == b"id: 1\n\nid: 2\n\n"
    assert api.invoke(rest_event("/v1/echo"), 5).status == "succeeded"
