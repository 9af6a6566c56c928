"""Measurements of admission, extension, lease renewal, settlement and rejection on DynamoDB Local.

The calls are sequential. The results are listed by scopes, with and without a platform limit. The baseline is one
conditional UpdateItem of a small item with the same client.
"""

from dataclasses import dataclass

from atrium.kernel.clock import read_clock
from atrium.kernel.ids import mint_run_id, mint_session_id, mint_tenant_id
from atrium.quotas.limits import resolve_limits
from atrium.quotas.model import AdmissionRequest, Admitted, Extended, Recorded, ScopeLimits, Used, tool_scopes
from atrium.quotas.platform import PlatformLimit
from atrium.quotas.service import QuotaService
from atrium.storage.keys import Key
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.storage.writes import Update

from tests.bench.measuring import Figures, Series

CALLS = 100
TOKENS, COST_NANOS = 1_200, 900_000
LIMITS = resolve_limits("pro", {}) | {
    "requests_per_minute": 60_000,
    "tokens_per_minute": 10**9,
    "requests_per_day": 10**8,
    "tokens_per_month": 10**12,
    "cost_per_month": 10**15,
}
TENANT = ScopeLimits("tenant", LIMITS)
TOOL_CALLS = LIMITS["tool_calls_per_minute"]
KEY = ScopeLimits("key", {"requests_per_minute": 6_000, "requests_per_day": 10**7}, "key_bench")


def measure_baseline(physical: PhysicalTable) -> Series:
    """Measure a conditional write that increments a counter."""
    table = TenantTable(physical, mint_tenant_id(read_clock()))
    update = Update(
        Key("BENCH", "COUNTER"), "ADD #n :one", "attribute_not_exists(#n) OR #n < :max", {"one": 1, "max": 10**9},
        returns=False,
    )  # fmt: skip
    series = Series("one conditional write")
    for _ in range(CALLS):
        series.measure(physical, table.write, update)
    return series


def measure_admission(physical: PhysicalTable, baseline: Series) -> dict[str, Figures]:
    """Return the measurements of each operation, by scopes and platform limit.

    The admission items are read before each admission, as in a turn.
    """
    found = {baseline.name: baseline.figures()}
    platform = PlatformLimit(PlatformTable(physical), 100, read_clock)
    for name, scopes, limit in (
        ("tenant", (TENANT,), None),
        ("key + tenant", (KEY, TENANT), None),
        ("tenant + platform", (TENANT,), platform),
        ("key + tenant + platform", (KEY, TENANT), platform),
    ):
        for series in Caller(physical, scopes, limit).run():
            found[f"{name}: {series.name}"] = series.figures(baseline)
    for name, tool_limit in (("limit of the tool not below the tenant's", TOOL_CALLS), ("limit of the tool", 100)):
        found[f"tool call, {name}"] = measure_tool_calls(physical, tool_limit).figures(baseline)
    return found


def measure_tool_calls(physical: PhysicalTable, calls_per_minute: int) -> Series:
    """Measure the counting of tool calls, which cost one more write if the tool's limit is below the tenant's."""
    service = QuotaService(TenantTable(physical, mint_tenant_id(read_clock())), read_clock)
    scopes = tool_scopes("probe", calls_per_minute, (TENANT,))
    series = Series("tool call")
    for _ in range(CALLS):
        answer = series.measure(physical, service.record_tool_call, scopes)
        assert isinstance(answer, Recorded), answer
    return series


@dataclass(frozen=True)
class Caller:
    """The measured calls of one tenant."""

    physical: PhysicalTable
    scopes: tuple[ScopeLimits, ...]
    platform: PlatformLimit | None

    def run(self) -> list[Series]:
        table = TenantTable(self.physical, mint_tenant_id(read_clock()))
        service = QuotaService(table, read_clock, self.platform)
        admit, extend, renew, settle, reject = (
            Series(name) for name in ("admit", "extend", "renew", "settle", "reject")
        )
        for _ in range(CALLS):
            request, items = new_request(), service.read(self.scopes)
            answer = admit.measure(self.physical, service.admit, request, self.scopes, items)
            assert isinstance(answer, Admitted), answer
            reservation, used = answer.reservation, Used(700, 400_000)
            extended = extend.measure(self.physical, service.extend, reservation, used, request, self.scopes)
            assert isinstance(extended, Extended), extended
            renew.measure(self.physical, service.renew_lease, extended.reservation)
            settle.measure(self.physical, service.settle, extended.reservation, used)
        full = (*self.scopes[:-1], ScopeLimits("tenant", {**LIMITS, "tokens_per_month": TOKENS - 1}))
        for _ in range(CALLS):
            items = service.read(full)
            reject.measure(self.physical, service.admit, new_request(), full, items)
        return [admit, extend, renew, settle, reject]


def new_request() -> AdmissionRequest:
    now = read_clock()
    return AdmissionRequest(mint_run_id(now, mint_session_id(now)), TOKENS, COST_NANOS)
