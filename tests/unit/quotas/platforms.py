"""Several tenants under one ceiling of the platform's, and what must always hold."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from atrium.kernel.ids import RunId, TenantId
from atrium.quotas.ceiling import Lender
from atrium.quotas.model import AdmissionRequest, Admitted, Decision, Hold
from atrium.quotas.service import AdmissionService
from atrium.quotas.store import AdmissionStore
from atrium.quotas.terms import Terms
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable

from tests.unit.quotas.rooms import START, make_run_id

FEW = Terms({"concurrent_turns": 8, "requests_per_day": 1_000})


@dataclass
class Platform:
    """Several tenants under one ceiling, with a clock that is turned."""

    physical: PhysicalTable
    maximum: int
    tenants: tuple[TenantId, ...]
    now: datetime = START
    holds: list[tuple[TenantId, Hold]] = field(default_factory=list)

    def clock(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def service(self, tenant: TenantId, *, ahead: float = 0) -> AdmissionService:
        def clock() -> datetime:
            return self.now + timedelta(seconds=ahead)

        lender = Lender(PlatformTable(self.physical), self.maximum, clock)
        return AdmissionService(AdmissionStore(TenantTable(self.physical, tenant), clock, lender=lender))

    def admit(self, tenant: TenantId, run_id: RunId | None = None, terms: Terms = FEW) -> Decision:
        answer = self.service(tenant).admit(AdmissionRequest(run_id or make_run_id(self.now), 0, 0), terms)
        if isinstance(answer, Admitted):
            self.holds.append((tenant, answer.hold))
        return answer

    def settle(self, tenant: TenantId, hold: Hold) -> None:
        self.service(tenant).settle(hold, 0, 0)
        self.holds.remove((tenant, hold))

    def item(self, tenant: TenantId, shard: int = 0) -> dict[str, Any]:
        return dict(self.service(tenant).store.read(shard) or {})

    def live(self) -> int:
        """Return how many leases are not over, of all tenants."""
        return sum(self._live(self.item(tenant)) for tenant in self.tenants)

    def _live(self, item: dict[str, Any]) -> int:
        return sum(slot["e"] >= self.now.timestamp() for slot in item.get("slots", {}).values())

    def blocks(self) -> dict[str, Any]:
        return dict((PlatformTable(self.physical).get(keys.ceiling()) or {"blocks": {}})["blocks"])

    def check(self) -> None:
        """Assert that no more run than the ceiling says, and no item has more than the platform knows of."""
        assert self.live() <= self.maximum
        blocks = self.blocks()
        assert sum(each["n"] for each in blocks.values() if each["u"] >= self.now.timestamp()) <= self.maximum
        for tenant in self.tenants:
            item, block = self.item(tenant), blocks.get(f"{tenant}/0", {"n": 0, "u": 0})
            assert self._live(item) <= block["n"]
            if item.get("bu", 0) >= self.now.timestamp():
                assert (item["bk"] <= block["n"], item["bu"] <= block["u"]) == (True, True)
