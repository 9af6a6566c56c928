"""Eight processes for all races, and a new DynamoDB Local for each file, because a server becomes slower over time."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from atrium.storage.table import PhysicalTable

from infra.conformance.dynamodb import running_dynamodb
from infra.runtime.resources import Endpoint, create_table
from infra.runtime.template import Document
from tests.conformance.quotas.racing import PROCESSES


@pytest.fixture(scope="package")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        list(pool.map(time.sleep, [0.5] * PROCESSES))
        yield pool


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Endpoint]:
    with running_dynamodb() as endpoint:
        yield endpoint


@pytest.fixture
def dynamodb_table(request: pytest.FixtureRequest, definition_of_table: Document) -> Iterator[PhysicalTable]:
    """An empty table with the definition in template.yaml, on the DynamoDB Local of this file."""
    if request.config.getoption("--dynamodb") == "moto":
        pytest.fail("this needs DynamoDB Local: run `make conformance`")
    dynamodb: Endpoint = request.getfixturevalue("dynamodb")
    client, name = dynamodb.client("dynamodb"), f"atrium-{uuid.uuid4().hex}"
    create_table(client, definition_of_table, name)
    yield PhysicalTable(client, name)
    client.delete_table(TableName=name)
    client.close()
