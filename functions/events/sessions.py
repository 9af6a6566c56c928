"""Removes deleted sessions, interrupted forks and idle sessions every minute, after the sweep of runs."""

from collections.abc import Callable
from dataclasses import asdict

from atrium.bootstrap import Runtime
from atrium.http.logs import make_logger
from atrium.kernel.errors import AtriumError
from atrium.kernel.ids import TenantId
from atrium.runs.store import RunStore
from atrium.sessions.retention import SessionSweep
from atrium.storage.sweep import list_due_sessions, list_retaining

logger = make_logger("sweep")

RESERVE_MS = 30_000
"""Remaining time of the function below which no further session is removed, so that deletions of tenants get time."""


def sweep_sessions(source: Runtime, remaining_ms: Callable[[], int]) -> dict[str, int]:
    """Remove the sessions that are due until less than RESERVE_MS remain. Return the counts."""

    def stores(tenant_id: TenantId) -> RunStore:
        return RunStore(source.tenant_table(tenant_id), source.tenant_blobs(tenant_id))

    now = source.clock()
    sweep = SessionSweep(stores, source.clock, lambda: remaining_ms() > RESERVE_MS, _log_failure)
    report = sweep.run(list_due_sessions(source.table, now), list_retaining(source.table, now.minute))
    counts = asdict(report)
    if any(counts.values()):
        logger.info("sessions removed", **counts)
    return {f"sessions_{name}": count for name, count in counts.items()}


def _log_failure(tenant_id: TenantId, error: Exception) -> None:
    code, internal = (error.code, error.internal) if isinstance(error, AtriumError) else (type(error).__name__, "")
    logger.error("sessions could not be removed", tenant_id=tenant_id, error=code, internal=internal)
