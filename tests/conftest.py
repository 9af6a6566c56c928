"""Fixtures and options of all tests: the backend of the table, and the marker `loopback`.

Tests of stores use `physical_table`, or `table_client` and `table_name`. They run on moto. `make conformance` runs them
again with `--dynamodb=http://127.0.0.1:<port>`, the address of a DynamoDB Local.
"""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from atrium.storage.table import PhysicalTable
from httpx2._transports import default as default_transports
from hypothesis import settings
from moto import mock_aws

from infra.iam.calls import Recorder
from infra.runtime.resources import REGION, Endpoint, create_table, table_definition
from infra.runtime.template import Document, Resolver, read_template
from tests.builders.deployments import Deployment, deploy
from tests.builders.quick_argon2 import remember_verifications
from tests.builders.quick_moto import moto_client, quicken

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


RECORDER = pytest.StashKey[Recorder]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--dynamodb", default="moto", help="moto, or the address of a DynamoDB Local")
    parser.addoption("--record-calls", help="a folder for what each process asks of table and bucket (make iam)")


def pytest_configure(config: pytest.Config) -> None:
    settings.register_profile("atrium", deadline=None)  # tests do not measure speed (`make bench` does)
    settings.load_profile("atrium")
    quicken()
    remember_verifications()
    # Without a cache, each client would read the machine's certificates (20 ms), which calls on loopback do not need.
    create = default_transports.create_ssl_context  # type: ignore[attr-defined]  # imported there, not exported
    kept = cache(lambda _certificates, **options: create(**options))

    def create_once(**options: Any) -> Any:
        return kept(os.environ.get("SSL_CERT_FILE"), **options)

    setattr(default_transports, "create_ssl_context", create_once)  # noqa: B010
    config.addinivalue_line("markers", "table: uses the table, so it also runs on DynamoDB Local (set by itself)")


def pytest_collection_finish() -> None:
    """Exclude imported objects from garbage collection, which otherwise takes a tenth of the test run's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.getoption("--record-calls"):
        session.config.stash[RECORDER] = Recorder().start()


def pytest_sessionfinish(session: pytest.Session) -> None:
    recorder = session.config.stash.get(RECORDER, None)
    if recorder is not None:
        process = os.environ.get("PYTEST_XDIST_WORKER", "alone")
        recorder.write(Path(session.config.getoption("--record-calls")) / f"{process}.json")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    on_moto = config.getoption("--dynamodb") == "moto"
    for item in items:
        uses_table = "table_client" in getattr(item, "fixturenames", ())
        if uses_table:
            item.add_marker("table")
        if item.get_closest_marker("loopback") or (uses_table and not on_moto):
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1"]))


@pytest.fixture(scope="session")
def definition_of_table() -> Document:
    """The table's definition in template.yaml."""
    return table_definition(Resolver(read_template()))


@pytest.fixture
def table_name() -> str:
    return f"atrium-{uuid.uuid4().hex}"


@pytest.fixture
def table_client(
    request: pytest.FixtureRequest, definition_of_table: Document, table_name: str
) -> Iterator[DynamoDBClient]:
    """A DynamoDB client with an empty table named `table_name`, for one test."""
    backend = str(request.config.getoption("--dynamodb"))
    if backend == "moto":
        with mock_aws(), moto_client("dynamodb") as client:
            # The stream is disabled: these tests do not read it, and moto would copy every written item to it.
            client.create_table(
                TableName=table_name, **{**definition_of_table, "StreamSpecification": {"StreamEnabled": False}}
            )
            yield client
    else:
        local: DynamoDBClient = Endpoint(backend).client("dynamodb")
        create_table(local, definition_of_table, table_name)
        yield local
        local.delete_table(TableName=table_name)
        local.close()


@pytest.fixture
def physical_table(table_client: DynamoDBClient, table_name: str) -> PhysicalTable:
    return PhysicalTable(table_client, table_name)


@pytest.fixture
def aws_secrets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty Secrets Manager on moto, for every backend of the table."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    on_moto = request.config.getoption("--dynamodb") == "moto"
    with mock_aws(config=None if on_moto else {"core": {"passthrough": {"services": ["dynamodb"]}}}):
        yield


@pytest.fixture
def deployment(physical_table: PhysicalTable, aws_secrets: None) -> Deployment:
    """A deployment as after `make bootstrap`: an empty table, and secrets with values."""
    return deploy(physical_table)
