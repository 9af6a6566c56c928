"""Limits as their callers see them: a tenant, the usage and the platform function, and turns that are admitted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from atrium.identity.onboarding import Onboarded
from atrium.kernel.ids import mint_run_id, mint_session_id
from atrium.quotas.model import AdmissionRequest, Admitted, Hold, Subject
from atrium.quotas.service import AdmissionService
from atrium.quotas.store import AdmissionStore
from atrium.quotas.terms import Terms, read_terms
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
    """A tenant whose limits are looked at."""

    deployment: Deployment
    made: Onboarded

    @property
    def table(self) -> TenantTable:
        return self.deployment.runtime.tenant_table(self.made.tenant.id)

    @property
    def service(self) -> AdmissionService:
        return AdmissionService(AdmissionStore(self.table, self.deployment.clock))

    @property
    def terms(self) -> Terms:
        tenant = self.table.get(keys.tenant())
        assert tenant is not None
        return read_terms(tenant)

    def admit(self, tokens: int = 0, cost_nanos: int = 0, *subjects: Subject, new_session: bool = False) -> Hold:
        now = self.deployment.clock()
        run_id = mint_run_id(now, mint_session_id(now))
        answer = self.service.admit(AdmissionRequest(run_id, tokens, cost_nanos, new_session, subjects), self.terms)
        assert isinstance(answer, Admitted), answer
        return answer.hold

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
