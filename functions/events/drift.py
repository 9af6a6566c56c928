"""Compares counters and usage aggregates with the ledger (`atrium.quotas.rebuild`).

The function runs every hour and compares each tenant once a day. A difference is counted in a metric with an alarm,
logged with the tenant's id, and stored for the operator.
"""

from collections.abc import Callable
from typing import Any

from atrium.bootstrap import Runtime, runtime
from atrium.http.logs import make_logger
from atrium.kernel.errors import AtriumError
from atrium.kernel.ids import TenantId
from atrium.quotas.rebuild.model import Drift
from atrium.quotas.rebuild.running import DriftRound
from atrium.tenants.service import TenantService
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

logger = make_logger("drift")

RESERVE_MS = 180_000
"""Remaining time below which no further tenant is compared. This is enough to read half a million ledger entries."""


def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Continue the comparison of the current day (Lambda entry point). Return the counts."""
    return compare_counters(runtime(), context.get_remaining_time_in_millis)


def compare_counters(source: Runtime, remaining_ms: Callable[[], int]) -> dict[str, int]:
    """Continue the comparison of the current day until less than RESERVE_MS remain. Return the counts."""
    counts = {"tenants": 0, "faults": 0, "uncounted": 0, "failed": 0}

    def note(tenant_id: TenantId, drift: Drift) -> None:
        counts["faults"] += drift.faults
        counts["uncounted"] += drift.uncounted
        if drift.counters or drift.sums or drift.uncounted:
            report = logger.error if drift.faults or drift.uncounted else logger.info
            report(
                "counters differ from the ledger",
                tenant_id=tenant_id,
                faults=drift.faults,
                uncounted=drift.uncounted,
                sums=drift.sums,
                counters=[f"{each.subject or 'tenant'}:{each.limit}" for each in drift.counters],
            )

    def fail(tenant_id: TenantId, error: AtriumError) -> None:
        counts["failed"] += 1
        logger.error("counters could not be compared", tenant_id=tenant_id, error=error.code, internal=error.internal)

    tenants = TenantService(source.platform_table, source.tenant_table, source.clock)
    drifts = DriftRound(source.platform_table, tenants.list, source.tenant_table, source.clock)
    counts["tenants"] = drifts.run(lambda: remaining_ms() > RESERVE_MS, note, fail)
    _publish(counts)
    logger.info("compared", extra=counts)
    return counts


def _publish(counts: dict[str, int]) -> None:
    """Publish the totals of all tenants as metrics. A tenant is never a metric dimension."""
    metrics = Metrics(namespace="Atrium", service="drift")
    metrics.add_metric("CounterFaults", MetricUnit.Count, counts["faults"])
    metrics.add_metric("UncountedEntries", MetricUnit.Count, counts["uncounted"])
    metrics.add_metric("TenantsCompared", MetricUnit.Count, counts["tenants"])
    metrics.add_metric("ComparisonsFailed", MetricUnit.Count, counts["failed"])
    metrics.flush_metrics()
