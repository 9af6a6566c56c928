"""Measurements of a turn in an existing session on DynamoDB Local, with a scripted model and without HTTP."""

from dataclasses import dataclass
from typing import Any, cast

from atrium.kernel.ids import TenantId, mint_run_id, mint_session_id
from atrium.quotas.model import AdmissionRequest, ScopeLimits
from atrium.quotas.platform import PlatformLimit
from atrium.quotas.service import QuotaService
from atrium.storage.blobs import Bucket
from atrium.storage.table import PhysicalTable, PlatformTable

from tests.bench.measuring import Figures, Series
from tests.builders.scripted import calls
from tests.builders.tenant_env import OTHER_TENANT, TENANT, TenantEnv

TURNS = 40
VARIANTS = (("platform limit off", None, 1), ("platform limit on", 100, 1), ("off, 50 slots taken", None, 50))
"""Each variant: name, platform limit, and number of slots that the tenant occupies during the turn."""
TOOL_ROUNDS = (1, 3)


@dataclass
class Bench(TenantEnv):
    """The services of a tenant, optionally with a platform limit. No bucket is needed, because the content is short."""

    platform: PlatformLimit | None = None

    def quotas(self, tenant: TenantId = TENANT) -> QuotaService:
        return QuotaService(self.table(tenant), self.clock, self.platform, pause=self.pause)


def measure_turn(physical: PhysicalTable, baseline: Series) -> dict[str, Figures]:
    """Return the measurements of a turn by platform limit, occupied slots and tool rounds."""
    bench = Bench(physical, Bucket(cast("Any", None), "none"))
    for tenant in (TENANT, OTHER_TENANT):
        bench.add_tenant(tenant)
    found = {}
    for name, maximum, taken in VARIANTS:
        bench.platform = None if maximum is None else PlatformLimit(PlatformTable(physical), maximum, bench.clock)
        session = bench.open_session()
        bench.talk("warm up", session_id=session)
        for _ in range(taken - 1):
            now = bench.clock()
            request = AdmissionRequest(mint_run_id(now, mint_session_id(now)), 1_200, 900_000)
            bench.quotas().admit(request, (ScopeLimits("tenant", {}),))
        series = Series(name)
        for number in range(TURNS):
            series.measure(physical, bench.talk, f"message {number}", session_id=session)
        found[name] = series.figures(baseline)
    bench.platform = None
    for rounds in TOOL_ROUNDS:
        session = bench.open_session()
        series = Series(f"off, {rounds} tool rounds")
        for number in range(TURNS):
            for at in range(rounds):
                bench.model.say(calls("calculator", f"call_{at}", expression="6*7"))
            series.measure(physical, bench.talk, f"message {number}", session_id=session)
        found[series.name] = series.figures(baseline)
    return found
