"""An audit service on an empty table, with a manual clock."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from atrium.audit.model import AuditEvent
from atrium.audit.query import AuditQuery, make_query
from atrium.audit.service import AuditService
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import PageRequest
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext

from tests.builders.runtimes import TurnedClock
from tests.builders.tenant_env import OWNER, TENANT, context_of

ANN = "usr_01k6r5m2x8f3v9q4w7t1y0z5aa"
BOB = "usr_01k6r5m2x8f3v9q4w7t1y0z5ab"


@dataclass
class AuditEnv:
    physical: PhysicalTable
    clock: TurnedClock = field(default_factory=TurnedClock)

    def table(self, tenant: TenantId = TENANT) -> TenantTable:
        return TenantTable(self.physical, tenant)

    def audit(self, owner: str = OWNER, context: TenantContext | None = None) -> AuditService:
        caller = context or context_of(owner)
        return open_audit(caller, self.table(caller.tenant_id), self.clock)

    def ask(self, **wishes: str) -> AuditQuery:
        return make_query(now=self.clock(), **wishes)  # type: ignore[arg-type] # texts only

    def pages(self, query: AuditQuery, limit: int) -> Iterator[list[AuditEvent]]:
        """Yield the events of a query page by page."""
        position = None
        while True:
            page = self.audit().list(query, PageRequest(limit, position))
            yield page.items
            position = page.position
            if position is None:
                return
