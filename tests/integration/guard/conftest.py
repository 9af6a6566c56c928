"""The sessions function of a tenant, called by several principals, and the policies of the tenant."""

from dataclasses import dataclass, field

import pytest
from atrium.bootstrap import Runtime
from atrium.identity.context import to_authorizer_context
from atrium.kernel.ids import TenantId
from atrium.storage.table import PhysicalTable
from atrium.tenants.context import Principal
from starlette.testclient import TestClient

from functions.sessions.app import build
from tests.builders.gateway import call_as
from tests.builders.runtimes import build_runtime
from tests.unit.policy.policy_env import TENANT, PolicyEnv


@dataclass
class Guarded:
    """The sessions function with the guard. `policy_env` changes the policies, which `runtime` caches separately."""

    policy_env: PolicyEnv
    runtime: Runtime = field(init=False)

    def __post_init__(self) -> None:
        self.runtime = build_runtime(table=self.policy_env.physical, clock=self.policy_env.clock)()

    def call_as(self, principal: Principal, tenant: TenantId = TENANT, **fields: str | int | bool) -> TestClient:
        """Return a client of the function. By default, the context has the tenant's current configuration version."""
        known = to_authorizer_context(self.policy_env.context(principal, tenant=tenant))
        return call_as(build(lambda: self.runtime), known | fields)


@pytest.fixture
def guarded(physical_table: PhysicalTable) -> Guarded:
    return Guarded(PolicyEnv(physical_table))
