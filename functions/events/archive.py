"""Archives the runs of idle sessions of all tenants (`atrium.sessions.archiving`). Runs every five minutes."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from atrium.bootstrap import Runtime, runtime
from atrium.http.logs import make_logger
from atrium.kernel.errors import AtriumError
from atrium.kernel.ids import SessionId, TenantId
from atrium.runs.store import RunStore
from atrium.sessions.archiving import ArchiveRound, SessionArchiver
from aws_lambda_powertools.utilities.typing import LambdaContext

logger = make_logger("archive")

RESERVE_MS = 60_000
"""Remaining time below which no further sessions are archived. One step moves at most 2 MB."""


def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Archive idle sessions (Lambda entry point). Return the counts. Failures are retried by the next invocation."""
    return archive_sessions(runtime(), context.get_remaining_time_in_millis)


def archive_sessions(source: Runtime, remaining_ms: Callable[[], int]) -> dict[str, int]:
    """Archive idle sessions until less than RESERVE_MS remain. Return the counts."""
    idle = timedelta(seconds=source.settings.archive_idle_seconds)
    if not idle:
        return {}

    def archiver_for(tenant_id: TenantId) -> SessionArchiver:
        def skip(session_id: SessionId, error: Exception) -> None:
            _log_failure(tenant_id, error, session_id)

        runs = RunStore(source.tenant_table(tenant_id), source.tenant_blobs(tenant_id))
        return SessionArchiver(runs, source.clock, idle, skip)

    archiving = ArchiveRound(source.platform_table, archiver_for, _log_failure)
    counts = asdict(archiving.run(lambda: remaining_ms() > RESERVE_MS))
    logger.info("archived", **counts)
    return counts


def _log_failure(tenant_id: TenantId, error: Exception, session_id: SessionId | None = None) -> None:
    """Log what could not be archived, without the error's text, because it may contain stored data."""
    internal = error.internal if isinstance(error, AtriumError) else ""
    logger.error(
        "sessions could not be archived",
        tenant_id=tenant_id,
        session_id=session_id,
        error=type(error).__name__,
        internal=internal,
    )
