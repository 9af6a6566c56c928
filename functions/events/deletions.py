"""Erases the data of deleted tenants every minute, in the time that remains after the sweep (`atrium.erasure`)."""

from collections.abc import Callable
from dataclasses import asdict

from atrium.bootstrap import Runtime
from atrium.erasure.service import Erasure
from atrium.http.logs import make_logger
from atrium.kernel.errors import AtriumError
from atrium.kernel.ids import TenantId
from atrium.tenants.service import TenantService

logger = make_logger("sweep")

RESERVE_MS = 15_000
"""Remaining time of the function below which no further step is started. A slow step needs five seconds."""


def finish_deletions(source: Runtime, remaining_ms: Callable[[], int]) -> dict[str, int]:
    """Continue all deletions until less than RESERVE_MS remain. Return the counts."""
    tenants = TenantService(source.platform_table, source.tenant_table, source.clock)
    erasure = Erasure(tenants, source.platform_table, source.tenant_table, source.tenant_blobs, source.clock)
    counts = asdict(erasure.run(lambda: remaining_ms() > RESERVE_MS, _log_failure))
    if any(counts.values()):
        logger.info("deletions continued", **counts)
    return {f"deletions_{name}": count for name, count in counts.items()}


def _log_failure(tenant_id: TenantId, error: Exception) -> None:
    code, internal = (error.code, error.internal) if isinstance(error, AtriumError) else (type(error).__name__, "")
    logger.error("deletion step failed", tenant_id=tenant_id, error=code, internal=internal)
