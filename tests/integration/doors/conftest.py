"""A deployment with a tenant, seen from the street."""

import pytest

from tests.builders.deployments import Deployment
from tests.builders.doors import Street


@pytest.fixture
def street(deployment: Deployment) -> Street:
    return Street(deployment, deployment.onboard())
