"""Continues unfinished deletions of tenants, every minute (`atrium.identity.offboarding`)."""

from collections.abc import Callable
from dataclasses import asdict

from atrium.bootstrap import Runtime
from atrium.http.logs import make_logger
from atrium.identity.offboarding import Offboarding
from atrium.kernel.errors import AtriumError
from atrium.kernel.ids import TenantId
from atrium.tenants.service import TenantService

logger = make_logger("sweep")

RESERVE_MS = 15_000
"""Remaining time below which no further batch is started; a slow batch takes five seconds."""


def finish_deletions(source: Runtime, remaining_ms: Callable[[], int]) -> dict[str, int]:
    """Continue all unfinished deletions while time remains; return the counts."""
    tenants = TenantService(source.platform_table, source.tenant_table, source.clock)
    offboarding = Offboarding(tenants, source.platform_table, source.tenant_table, source.clock)
    counts = asdict(offboarding.finish_all(lambda: remaining_ms() > RESERVE_MS, _log_failure))
    if any(counts.values()):
        logger.info("deletions continued", **counts)
    return {f"deletions_{name}": count for name, count in counts.items()}


def _log_failure(tenant_id: TenantId, error: AtriumError) -> None:
    logger.error("a deletion could not be finished", tenant_id=tenant_id, error=error.code, internal=error.internal)
