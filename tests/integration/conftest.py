"""Fixtures of the HTTP tests. Chat and the model server are started once per file. Each test has new tenants."""

from collections.abc import Iterator

import pytest
from atrium.storage.table import PhysicalTable

from functions.authorizer import auth_failures, authorize
from functions.chat.app import build
from infra.local.model_server import ModelServer, running
from tests.builders.api_env import ApiEnv, Holder, open_api_env, serving
from tests.builders.tenant_env import open_tenant_env


@pytest.fixture(scope="module")
def holder() -> Holder:
    return Holder()


@pytest.fixture(scope="module")
def scripted_server() -> Iterator[ModelServer]:
    with running(hang_seconds=20) as server:
        yield server


@pytest.fixture(scope="module")
def chat_url(holder: Holder) -> Iterator[str]:
    with serving(build(holder)) as url:
        yield url


@pytest.fixture
def api_env(
    request: pytest.FixtureRequest,
    physical_table: PhysicalTable,
    scripted_server: ModelServer,
    chat_url: str,
    holder: Holder,
) -> Iterator[ApiEnv]:
    on_moto = request.config.getoption("--dynamodb") == "moto"
    with (
        open_tenant_env(physical_table, on_moto=on_moto) as tenant_env,
        open_api_env(tenant_env, scripted_server, chat_url, holder) as on,
    ):
        yield on


@pytest.fixture(autouse=True)
def background_writes_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the authorizer wait until its background writes are done, also on a slow machine."""
    monkeypatch.setattr(auth_failures, "WAIT_SECONDS_MAX", 30)
    monkeypatch.setattr(authorize, "NOTE_SECONDS_MAX", 30)
