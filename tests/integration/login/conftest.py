"""A deployment with a tenant, seen from the street."""

import pytest

from tests.builders.deployments import Deployment
from tests.builders.login_env import LoginEnv


@pytest.fixture
def login_env(deployment: Deployment) -> LoginEnv:
    return LoginEnv(deployment, deployment.onboard())
