"""The real Lambda Web Adapter before a web server, under our Runtime API."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.runtime.api import RuntimeApi
from infra.runtime.artifact import running_artifact
from tests.artifacts.adapter_contract import CHECKS
from tests.artifacts.builders import web_artifact


@pytest.fixture(scope="module")
def api(adapter_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeApi]:
    artifact = web_artifact(tmp_path_factory.mktemp("build"))
    with running_artifact(artifact, artifact.function.environment, adapter=adapter_binary) as running:
        yield running


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_adapter(api: RuntimeApi, check: Callable[[RuntimeApi], None]) -> None:
    check(api)
