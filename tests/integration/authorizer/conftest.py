"""The authorizer of a deployment, asked as API Gateway asks it."""

import pytest

from tests.builders.authorizing import AuthorizerEnv
from tests.builders.deployments import Deployment


@pytest.fixture
def authorizer_env(deployment: Deployment) -> AuthorizerEnv:
    return AuthorizerEnv(deployment)
