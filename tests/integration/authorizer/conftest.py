"""The authorizer of a deployment, called with the events of API Gateway."""

import pytest

from tests.builders.authorizing import AuthorizerEnv
from tests.builders.deployments import Deployment


@pytest.fixture
def authorizer_env(deployment: Deployment) -> AuthorizerEnv:
    return AuthorizerEnv(deployment)
