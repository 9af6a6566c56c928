"""The sweeper. Every minute it closes runs whose lease expired and releases their slots (`atrium.jobs.sweeping`).

In the remaining time, the sweeper removes deleted sessions (`functions.events.sessions`) and erases the data of deleted
tenants (`functions.events.deletions`).
"""

from dataclasses import asdict
from typing import Any

from atrium.bootstrap import Runtime, runtime
from atrium.http.logs import make_logger
from atrium.jobs.sweeping import Sweep
from atrium.kernel.errors import AtriumError
from atrium.kernel.ids import RunId, TenantId
from atrium.quotas.service import QuotaService
from atrium.runs.store import RunStore
from atrium.sessions.finalizing import RunFinalizer
from atrium.sessions.store import SessionStore
from atrium.storage.sweep import Swept, list_swept
from atrium.usage.store import LedgerStore
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.events.deletions import finish_deletions
from functions.events.sessions import sweep_sessions

logger = make_logger("sweep")


def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Sweep expired runs and slots, then continue deletions. Return the counts. Failures are retried after a minute."""
    source, remaining_ms = runtime(), context.get_remaining_time_in_millis
    return sweep_runs(source) | sweep_sessions(source, remaining_ms) | finish_deletions(source, remaining_ms)


def sweep_runs(source: Runtime) -> dict[str, int]:
    """Close runs and release slots whose lease expired. Return the counts."""

    def finalizer_for(tenant_id: TenantId) -> RunFinalizer:
        table = source.tenant_table(tenant_id)
        runs, quotas = RunStore(table, source.tenant_blobs(tenant_id)), QuotaService(table, source.clock)

        def wake(run_id: RunId) -> None:
            source.run_queue.send(tenant_id, run_id)

        return RunFinalizer(runs, SessionStore(table), LedgerStore(table), quotas, source.clock, wake)

    report = Sweep(finalizer_for, _log_failure).run(list_swept(source.table))
    counts = asdict(report)
    logger.info("swept", **counts)
    return counts


def _log_failure(swept: Swept, error: Exception) -> None:
    """Log a run or slot that could not be closed, without the error's text, because it may contain stored data."""
    internal = error.internal if isinstance(error, AtriumError) else ""
    logger.error(
        "an expired run or slot could not be closed", **asdict(swept), error=type(error).__name__, internal=internal
    )
