"""The sessions function of a tenant, called by several of its people, and the tenant's policies beside it."""

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
    """`room` is where the policies are made; `runtime` is a container, which remembers them for itself."""

    policy_env: PolicyEnv
    runtime: Runtime = field(init=False)

    def __post_init__(self) -> None:
        self.runtime = build_runtime(table=self.policy_env.physical, clock=self.policy_env.clock)()

    def call_as(self, principal: Principal, tenant: TenantId = TENANT, **fields: str | int | bool) -> TestClient:
        """Return a client of the function; its context is as new as the tenant's item, unless it says otherwise."""
        known = to_authorizer_context(self.policy_env.context(principal, tenant=tenant))
        return call_as(build(lambda: self.runtime), known | fields)


@pytest.fixture
def guarded(physical_table: PhysicalTable) -> Guarded:
    return Guarded(PolicyEnv(physical_table))
