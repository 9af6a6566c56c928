"""The authorizer of a deployment, asked as API Gateway asks it."""

import pytest

from tests.builders.authorizing import Door
from tests.builders.deployments import Deployment


@pytest.fixture
def door(deployment: Deployment) -> Door:
    return Door(deployment)
