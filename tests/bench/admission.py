"""Admitted, refused, renewed and settled calls on DynamoDB Local, one after the other, under the plans' own limits."""

from dataclasses import replace
from math import ceil

from atrium.kernel.clock import read_clock
from atrium.kernel.ids import mint_run_id, mint_session_id, mint_tenant_id
from atrium.quotas.ceiling import Lender
from atrium.quotas.limits import resolve_limits
from atrium.quotas.model import AdmissionRequest, Admitted, Subject
from atrium.quotas.service import AdmissionService
from atrium.quotas.shards import ADMISSIONS_PER_SECOND_MAX
from atrium.quotas.store import AdmissionStore
from atrium.quotas.terms import Terms
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.tenants.plans import PlanName

from tests.bench.measuring import Series

CALLS = 150
TOKENS, COST_NANOS = 1_200, 900_000
UNITS_PER_ITEM = 1_000
"""Write units that DynamoDB gives one item in a second."""


def measure_admission(physical: PhysicalTable) -> dict[str, dict[str, float]]:
    """Return the figures of each kind of call, by plan."""
    found: dict[str, dict[str, float]] = {}
    plans: tuple[PlanName, ...] = ("starter", "pro")
    for plan in plans:
        limits = resolve_limits(plan, {})
        free = {**limits, "requests_per_minute": 15_000, "tokens_per_minute": 10**9, "requests_per_day": 10**7}
        terms = Terms({**free, "tokens_per_month": 10**9, "cost_per_month": 10**13})
        for series in _measure(physical, terms, None):
            found[f"{plan}: {series.name}"] = series.figures()
        if plan == "starter":
            lender = Lender(PlatformTable(physical), 100, read_clock)
            found |= {f"ceiling: {series.name}": series.figures() for series in _measure(physical, terms, lender)[:2]}
            key = Subject("key", "key_apart", {"requests_per_minute": 15_000, "requests_per_day": 10**7}, apart=True)
            found |= {f"apart: {series.name}": series.figures() for series in _measure(physical, terms, None, key)[:3]}
    return found


def shards_per_thousand(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return how many items 1 000 admissions/s need: by the units of admitting and settling, and as we spread them."""
    units = figures["starter: admitted"]["write_units"] + figures["starter: settled"]["write_units"]
    return {
        "write_units_per_turn": round(units, 2),
        "by_units": ceil(1_000 * units / UNITS_PER_ITEM),
        "as_spread": ceil(1_000 / ADMISSIONS_PER_SECOND_MAX),
    }


def _measure(physical: PhysicalTable, terms: Terms, lender: Lender | None, *subjects: Subject) -> list[Series]:
    """Measure one tenant's calls. Several items are read before each admission, as the batch of a turn reads them."""
    tenant = mint_tenant_id(read_clock())
    service = AdmissionService(AdmissionStore(TenantTable(physical, tenant), read_clock, lender=lender))
    admitted, renewed, settled, refused = (Series(name) for name in ("admitted", "renewed", "settled", "refused"))
    for _ in range(CALLS):
        request = replace(_request(), subjects=subjects)
        read = [service.store.read(shard) for shard in range(terms.shards)] if terms.shards > 1 else []
        answer = admitted.measure(
            physical,
            lambda request=request, read=read: service.admit(request, terms, read),  # type: ignore[misc]
        )
        assert isinstance(answer, Admitted)
        renewed.measure(physical, lambda hold=answer.hold: service.heartbeat(hold))  # type: ignore[misc]
        settled.measure(physical, lambda hold=answer.hold: service.settle(hold, 700, 400_000))  # type: ignore[misc]
    full = Terms({**terms.limits, "tokens_per_month": TOKENS - 1}, terms.ceiling)
    for _ in range(CALLS):
        read = [service.store.read(shard) for shard in range(full.shards)] if full.shards > 1 else []
        refused.measure(physical, lambda read=read: service.admit(_request(), full, read))  # type: ignore[misc]
    return [admitted, renewed, settled, refused]


def _request() -> AdmissionRequest:
    now = read_clock()
    return AdmissionRequest(mint_run_id(now, mint_session_id(now)), TOKENS, COST_NANOS)
