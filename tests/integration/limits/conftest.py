"""Limits over HTTP: a tenant, the usage and platform functions, and admitted turns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from atrium.identity.onboarding import Onboarded
from atrium.kernel.ids import mint_run_id, mint_session_id
from atrium.quotas.limits import tenant_limits
from atrium.quotas.model import AdmissionDecision, AdmissionRequest, Admitted, Reservation, ScopeLimits
from atrium.quotas.service import QuotaService
from atrium.storage import keys
from atrium.storage.table import TenantTable
from atrium.tenants.plans import PlanName
from starlette.testclient import TestClient

from functions.platform.app import build as build_platform
from functions.usage.app import build as build_usage
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as, platform_fields, tenant_fields


@dataclass
class Limited:
    """A tenant with limits, and calls of the usage and platform functions for the tenant."""

    deployment: Deployment
    made: Onboarded

    @property
    def table(self) -> TenantTable:
        return self.deployment.runtime.tenant_table(self.made.tenant.id)

    @property
    def service(self) -> QuotaService:
        return QuotaService(self.table, self.deployment.clock)

    def ask(
        self, tokens: int = 0, cost_nanos: int = 0, *scopes: ScopeLimits, new_session: bool = False
    ) -> AdmissionDecision:
        """Request a turn with the current limits of the tenant and the limits of `scopes`."""
        now = self.deployment.clock()
        tenant = ScopeLimits("tenant", tenant_limits(self.table.get(keys.tenant()) or {}))
        request = AdmissionRequest(mint_run_id(now, mint_session_id(now)), tokens, cost_nanos, new_session)
        return self.service.admit(request, (*scopes, tenant))

    def admit(
        self, tokens: int = 0, cost_nanos: int = 0, *scopes: ScopeLimits, new_session: bool = False
    ) -> Reservation:
        answer = self.ask(tokens, cost_nanos, *scopes, new_session=new_session)
        assert isinstance(answer, Admitted), answer
        return answer.reservation

    def call_as(self, **fields: str) -> TestClient:
        assert self.made.key
        own = {"tenant_id": self.made.tenant.id, "principal_id": self.made.key.key.id, "scopes": "sessions:read"}
        return call_as(build_usage(lambda: self.deployment.runtime), tenant_fields(**{**own, **fields}))

    def operator(self) -> TestClient:
        return call_as(build_platform(lambda: self.deployment.runtime), platform_fields())

    def put(self, limits: Mapping[str, Any], tenant_id: str = "") -> Any:
        return self.operator().put(f"/v1/tenants/{tenant_id or self.made.tenant.id}/limits", json=limits)

    def read(self, **fields: str) -> dict[str, Any]:
        answer = self.call_as(**fields).get("/v1/limits")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def standing(self, name: str, scope: str = "tenant", **fields: str) -> dict[str, Any]:
        found = [each for each in self.read(**fields)["limits"] if (each["name"], each["scope"]) == (name, scope)]
        assert len(found) == 1, found
        return dict(found[0])


def open_limited(deployment: Deployment, name: str, plan: PlanName) -> Limited:
    return Limited(deployment, deployment.onboard(name, plan))


@pytest.fixture
def free(deployment: Deployment) -> Limited:
    return open_limited(deployment, "acme", "free")


@pytest.fixture
def pro(deployment: Deployment) -> Limited:
    return open_limited(deployment, "globex", "pro")
