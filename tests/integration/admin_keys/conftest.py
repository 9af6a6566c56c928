"""The admin function of a deployment with one tenant, called with an API key that has the scope `admin`."""

from dataclasses import dataclass

import pytest
from atrium.identity.onboarding import Onboarded
from fastapi import FastAPI
from starlette.testclient import TestClient

from functions.admin.app import build
from tests.builders.authorizing import AuthorizerEnv
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as, tenant_fields


@dataclass
class TenantEnv:
    """A tenant, the admin function, and the authorizer."""

    deployment: Deployment
    made: Onboarded
    app: FastAPI
    authorizer_env: AuthorizerEnv

    def call_as(self, **fields: str) -> TestClient:
        """Return a client of the admin function with the tenant's API key. `fields` replace fields of the context."""
        assert self.made.key
        own = {"tenant_id": self.made.tenant.id, "principal_id": self.made.key.key.id, "scopes": "admin"}
        return call_as(self.app, tenant_fields(**{**own, **fields}))


@pytest.fixture
def tenant_env(deployment: Deployment) -> TenantEnv:
    app = build(lambda: deployment.runtime)
    return TenantEnv(deployment, deployment.onboard(), app, AuthorizerEnv(deployment))


@pytest.fixture
def client(tenant_env: TenantEnv) -> TestClient:
    return tenant_env.call_as()
