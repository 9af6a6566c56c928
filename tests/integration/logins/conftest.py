"""A deployment with a tenant whose admin logs in."""

import pytest

from tests.builders.deployments import Deployment
from tests.builders.logins import Logins, open_logins


@pytest.fixture
def logins(deployment: Deployment) -> Logins:
    return open_logins(deployment)
