"""The admin function of a deployment with one tenant. Issuers on this machine are allowed."""

import pytest
from starlette.testclient import TestClient

from functions.admin.app import build
from tests.builders.authorizing import AuthorizerEnv
from tests.builders.deployments import Deployment
from tests.integration.admin_keys.conftest import TenantEnv

LOCAL = {"EGRESS_LOCAL_ADDRESSES": "127.0.0.1"}


@pytest.fixture
def tenant_env(deployment: Deployment) -> TenantEnv:
    runtime = deployment.make_runtime()
    return TenantEnv(deployment, deployment.onboard(), build(lambda: runtime), AuthorizerEnv(deployment))


@pytest.fixture
def client(tenant_env: TenantEnv) -> TestClient:
    return tenant_env.call_as()
