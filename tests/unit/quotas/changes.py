"""A tenant whose limits and plan are changed while it is admitted from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atrium.audit.model import Origin
from atrium.audit.service import AuditService
from atrium.audit.store import AuditStore
from atrium.kernel.clock import Clock
from atrium.kernel.ids import TenantId, mint_run_id, mint_session_id
from atrium.quotas.changing import LimitChanges
from atrium.quotas.listing import read_shards
from atrium.quotas.model import AdmissionRequest, Admitted, Decision, Hold, Subject
from atrium.quotas.service import AdmissionService
from atrium.quotas.store import AdmissionStore
from atrium.quotas.terms import Terms, read_terms
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.tenants.plans import PlanName
from atrium.tenants.service import TenantFields, TenantService


@dataclass
class Changing:
    """One tenant on a table; `known` are the terms that its callers read last."""

    physical: PhysicalTable
    clock: Clock
    tenant: TenantId
    known: Terms = field(init=False)

    def __post_init__(self) -> None:
        self.known = self.read_terms()

    @property
    def table(self) -> TenantTable:
        return TenantTable(self.physical, self.tenant)

    @property
    def service(self) -> AdmissionService:
        return AdmissionService(AdmissionStore(self.table, self.clock))

    @property
    def changes(self) -> LimitChanges:
        audit = AuditService(AuditStore(self.table), Origin("platform:key_1"), 30, self.clock)
        return LimitChanges(self.table, audit, self.clock)

    def read_terms(self) -> Terms:
        item = self.table.get(keys.tenant())
        assert item is not None
        return read_terms(item)

    def ask(self, tokens: int = 0, cost_nanos: int = 0, *subjects: Subject, stale: bool = False) -> Decision:
        """Ask for a turn, under the terms as they are now, or as they were known."""
        now = self.clock()
        request = AdmissionRequest(mint_run_id(now, mint_session_id(now)), tokens, cost_nanos, False, subjects)
        return self.service.admit(request, self.known if stale else self.read_terms())

    def admit(self, tokens: int = 0, cost_nanos: int = 0, *subjects: Subject, stale: bool = False) -> Hold:
        answer = self.ask(tokens, cost_nanos, *subjects, stale=stale)
        assert isinstance(answer, Admitted), answer
        return answer.hold

    def items(self) -> dict[int, Mapping[str, Any]]:
        return read_shards(self.table)

    def sum(self, name: str) -> int:
        return sum(item.get(name, 0) for item in self.items().values())

    def sum_dated(self, letters: str) -> int:
        """Return the sum of a counter of a day or a month: `rd`, `tm`."""
        return sum(
            amount for item in self.items().values() for name, amount in item.items() if name[:-6].startswith(letters)
        )

    def live(self) -> int:
        return sum(len(item["slots"]) for item in self.items().values() if "slots" in item)


def open_changing(
    physical: PhysicalTable, clock: Clock, plan: PlanName = "pro", limits: Mapping[str, int] | None = None
) -> Changing:
    service = TenantService(PlatformTable(physical), lambda tenant_id: TenantTable(physical, tenant_id), clock)
    tenant = service.close(service.open(TenantFields("acme", plan)), [])
    made = Changing(physical, clock, tenant.id)
    if limits:
        made.changes.replace(limits)
        made.known = made.read_terms()
    return made
