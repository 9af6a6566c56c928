"""The platform function of a deployment, called with a platform key's context."""

import pytest
from starlette.testclient import TestClient

from functions.platform.app import build
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as, platform_fields


@pytest.fixture
def client(deployment: Deployment) -> TestClient:
    return call_as(build(lambda: deployment.runtime), platform_fields())
