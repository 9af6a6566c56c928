"""Fixtures of the isolation tests: the two tenants, created once per file and restored for each test.

They are on moto, whose table can be read and restored directly.
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
    """Yield a deployment with two tenants. Each has one resource of every type and owner."""
    level = logs.logger().log_level
    logs.logger().setLevel("CRITICAL")
    with (
        pytest.MonkeyPatch.context() as environment,
        open_bucket(on_moto=True) as bucket,
        moto_client("dynamodb") as client,
    ):
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        # Without stream, because moto copies the whole stream at each transaction.
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
    """The route of the parameter. Fails if the suite lacks information about it."""
    route: Route = request.param
    gaps = find_gaps(route)
    assert not gaps, f"{route.name}: " + "; ".join(gaps)
    return route
