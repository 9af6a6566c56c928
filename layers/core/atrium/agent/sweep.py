"""Closing what died: every open run whose lease is over, in any tenant. Run by the sweeper each minute."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from atrium.agent.closing import RunCloser
from atrium.kernel.ids import RunId, TenantId


@dataclass(frozen=True, slots=True)
class SweepReport:
    """How many open runs were looked at, closed, and could not be dealt with this time."""

    open_runs: int
    closed: int
    failed: int


def sweep(
    open_runs: Iterable[tuple[TenantId, RunId]],
    closer_for: Callable[[TenantId], RunCloser],
    on_failure: Callable[[TenantId, RunId, Exception], None],
) -> SweepReport:
    """Close lapsed runs; one that fails, for whatever reason, does not keep the others."""
    seen = closed = failed = 0
    for tenant_id, run_id in open_runs:
        seen += 1
        try:
            closed += closer_for(tenant_id).close_lapsed(run_id)
        except Exception as error:  # noqa: BLE001 - one run that cannot be read must not keep all others open
            failed += 1
            on_failure(tenant_id, run_id, error)
    return SweepReport(seen, closed, failed)
