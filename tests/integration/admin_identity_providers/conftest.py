"""The admin function of a deployment with one tenant, on a machine whose own issuers may be asked."""

import pytest
from starlette.testclient import TestClient

from functions.admin.app import build
from tests.builders.authorizing import Door
from tests.builders.deployments import Deployment
from tests.integration.admin_keys.conftest import House

LOCAL = {"EGRESS_LOCAL_ADDRESSES": "127.0.0.1"}


@pytest.fixture
def house(deployment: Deployment) -> House:
    runtime = deployment.make_runtime()
    return House(deployment, deployment.onboard(), build(lambda: runtime), Door(deployment))


@pytest.fixture
def client(house: House) -> TestClient:
    return house.call_as()
