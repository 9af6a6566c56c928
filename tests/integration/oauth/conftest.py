"""A deployment with a public address and a tenant with a confidential client."""

import pytest

from tests.builders.deployments import Deployment
from tests.builders.logins import Logins, open_logins
from tests.builders.oauth import Browser, make_client

ISSUER = "https://example.org"


@pytest.fixture
def logins(deployment: Deployment) -> Logins:
    deployment.environment = {"PUBLIC_URL": ISSUER}
    deployment.runtime = deployment.make_runtime()
    return open_logins(deployment)


@pytest.fixture
def browser(logins: Logins) -> Browser:
    return Browser(logins, make_client(logins))
