"""A deployment with a tenant, called from the internet without credentials."""

import pytest

from tests.builders.deployments import Deployment
from tests.builders.login_env import LoginEnv


@pytest.fixture
def login_env(deployment: Deployment) -> LoginEnv:
    return LoginEnv(deployment, deployment.onboard())
