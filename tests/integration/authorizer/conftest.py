"""The authorizer of a deployment, called with the events of API Gateway."""

import pytest

from functions.authorizer import auth_failures, authorize
from tests.builders.authorizing import AuthorizerEnv
from tests.builders.deployments import Deployment


@pytest.fixture
def authorizer_env(deployment: Deployment) -> AuthorizerEnv:
    return AuthorizerEnv(deployment)


@pytest.fixture(autouse=True)
def background_writes_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the authorizer wait until its background writes are done, also on a slow machine."""
    monkeypatch.setattr(auth_failures, "WAIT_SECONDS_MAX", 30)
    monkeypatch.setattr(authorize, "NOTE_SECONDS_MAX", 30)
