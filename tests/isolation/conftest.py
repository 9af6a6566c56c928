"""Fixtures of the isolation tests: two tenants, created once per file and restored after each test.

The tests run only on moto, whose table can be read and restored directly in memory.
"""

from collections.abc import Iterator

import pytest
from atrium.http import logs
from atrium.storage.table import PhysicalTable

from infra.runtime.resources import REGION, create_table
from infra.runtime.template import Document
from tests.builders.deployments import deploy
from tests.builders.quick_moto import moto_client
from tests.builders.tenant_env import TenantEnv, open_bucket
from tests.builders.wires import serialised
from tests.isolation.document import Route
from tests.isolation.knowledge import find_gaps
from tests.isolation.world import World


@pytest.fixture(scope="module")
def made_world(definition_of_table: Document) -> Iterator[World]:
    """A deployment with two tenants, each with resources of every type."""
    level = logs.logger().log_level
    logs.logger().setLevel("CRITICAL")
    with (
        pytest.MonkeyPatch.context() as environment,
        open_bucket(on_moto=True) as bucket,
        moto_client("dynamodb") as client,
    ):
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        # The stream is disabled, because moto copies the whole stream for each transaction.
        create_table(client, {**definition_of_table, "StreamSpecification": {"StreamEnabled": False}}, "atrium")
        with serialised(client, bucket.client):
            deployment = deploy(PhysicalTable(client, "atrium"))
            world = World(deployment, TenantEnv(deployment.table, bucket, clock=deployment.clock))
            for caller in (world.theirs[0], *world.ours):
                if caller.principal_id:
                    world.fill(caller)
            yield world
    logs.logger().setLevel(level)


@pytest.fixture
def world(made_world: World) -> Iterator[World]:
    with made_world.as_new():
        yield made_world


@pytest.fixture
def route(request: pytest.FixtureRequest) -> Route:
    """The route that the test is parametrized with. Fails if the suite lacks information about the route."""
    route: Route = request.param
    gaps = find_gaps(route)
    assert not gaps, f"{route.name}: " + "; ".join(gaps)
    return route
