"""Limits and plans that change during turns: counters are not reset, and the next admission uses the new limits."""

from typing import Any

import pytest
from atrium.audit.model import Origin
from atrium.audit.service import AuditService
from atrium.audit.store import AuditStore
from atrium.kernel.errors import NotFound
from atrium.quotas.changes import LimitChanges
from atrium.quotas.limits import tenant_limits
from atrium.quotas.model import AdmissionRequest, Admitted, LimitName, Rejected, ScopeLimits, Used
from atrium.quotas.service import QuotaService
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.tenants.service import TenantFields, TenantService
from atrium.tenants.store import TenantStore

from tests.builders.quota_items import run_id
from tests.builders.runtimes import TurnedClock


class ChangedTenant:
    """A tenant on the plan `pro`. Its limits are read again for each turn."""

    def __init__(self, physical: PhysicalTable) -> None:
        self.clock, self.runs = TurnedClock(), 0
        tenants = TenantService(PlatformTable(physical), lambda tenant_id: TenantTable(physical, tenant_id), self.clock)
        self.table = TenantTable(physical, tenants.close(tenants.open(TenantFields("acme", "pro")), []).id)
        audit = AuditService(AuditStore(self.table), Origin("platform:key_1"), 30, self.clock)
        self.changes = LimitChanges(self.table, audit, self.clock)
        self.service = QuotaService(self.table, self.clock, pause=lambda _: None)

    def ask(self, tokens: int = 0) -> Admitted | Rejected:
        item = self.table.get(keys.tenant())
        assert item is not None
        self.runs += 1
        return self.service.admit(
            AdmissionRequest(run_id(self.runs), tokens, 0), (ScopeLimits("tenant", tenant_limits(item)),)
        )

    def item(self) -> dict[str, Any]:
        return self.table.get(keys.admission("")) or {}


@pytest.fixture
def tenant(physical_table: PhysicalTable) -> ChangedTenant:
    return ChangedTenant(physical_table)


@pytest.mark.parametrize(
    ("name", "tokens"), [("requests_per_minute", 0), ("requests_per_day", 0), ("tokens_per_month", 1)]
)
def test_changed_limits_include_earlier_usage(tenant: ChangedTenant, name: LimitName, tokens: int) -> None:
    for _ in range(3):
        answer = tenant.ask(tokens)
        assert isinstance(answer, Admitted)
        tenant.service.settle(answer.reservation, Used(tokens, 0))
    for limit, fits in ((3, False), (2, False), (4, True), (4, False), (-1, True)):
        before = tenant.item()
        tenant.changes.replace({name: limit})
        assert tenant.item() == before
        answer = tenant.ask(tokens)
        assert isinstance(answer, Admitted) is fits
        if isinstance(answer, Rejected):
            assert (answer.limit, answer.max) == (name, limit)
        else:
            tenant.service.settle(answer.reservation, Used(tokens, 0))


def test_a_lowered_plan_rejects_new_turns_and_lets_runs_end(tenant: ChangedTenant) -> None:
    held = [tenant.ask(100) for _ in range(6)]
    tenant.changes.change_plan("free")
    for answer in held[:-1]:
        assert isinstance(answer, Admitted)
        rejected = tenant.ask()
        assert isinstance(rejected, Rejected)
        assert rejected.limit == "concurrent_turns"
        assert tenant.service.renew_lease(answer.reservation)
        assert tenant.service.settle(answer.reservation, Used(50, 0))
    assert isinstance(tenant.ask(), Admitted)
    assert isinstance(tenant.ask(), Rejected)
    assert tenant.item()["tm202611"] == 5 * 50 + 100


def test_a_tenant_that_is_gone(tenant: ChangedTenant) -> None:
    TenantStore(tenant.table).mark_deleted(by="", now=tenant.clock())
    with pytest.raises(NotFound):
        tenant.changes.replace({})
    with pytest.raises(NotFound):
        tenant.changes.change_plan("free")
