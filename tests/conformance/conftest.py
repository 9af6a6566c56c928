"""Fixtures of the conformance tests. `python -m infra.conformance` provides DynamoDB Local and the adapter."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from atrium.storage.table import PhysicalTable

from infra.conformance.adapter import built_adapter
from infra.conformance.dynamodb import running_dynamodb
from infra.runtime.resources import create_table
from infra.runtime.template import Document

pytestmark = pytest.mark.loopback


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--adapter", help="the binary of the Lambda Web Adapter; by default the one that is built")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1"]))


@pytest.fixture(scope="session")
def adapter_binary(request: pytest.FixtureRequest) -> Path:
    """The path of the real Lambda Web Adapter."""
    given = request.config.getoption("--adapter")
    found = Path(str(given)) if given else built_adapter()
    if found is None:
        pytest.fail("the Lambda Web Adapter is not built: run `make conformance`")
    return found


@pytest.fixture
def dynamodb_table(request: pytest.FixtureRequest, physical_table: PhysicalTable) -> PhysicalTable:
    """An empty table with the definition in template.yaml, on DynamoDB Local."""
    if request.config.getoption("--dynamodb") == "moto":
        pytest.fail("this needs DynamoDB Local: run `make conformance`")
    return physical_table


@pytest.fixture
def lone_table(definition_of_table: Document) -> Iterator[PhysicalTable]:
    """An empty table on a separate DynamoDB Local, because thousands of transactions slow down a server."""
    with running_dynamodb() as dynamodb:
        client, name = dynamodb.client("dynamodb"), f"atrium-{uuid.uuid4().hex}"
        create_table(client, definition_of_table, name)
        yield PhysicalTable(client, name)
        client.close()
