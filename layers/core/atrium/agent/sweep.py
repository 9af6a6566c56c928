"""Closing what died: open runs whose lease is over, then slots without a run, in any tenant. Run each minute."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from atrium.agent.closing import RunCloser
from atrium.agent.orphans import return_orphans
from atrium.kernel.ids import TenantId
from atrium.storage.sweep import BusyAdmission, OpenRun, Swept


@dataclass(frozen=True, slots=True)
class SweepReport:
    """How many open runs were looked at and closed, slots returned, and how much could not be dealt with this time."""

    open_runs: int
    closed: int
    returned: int
    failed: int


def sweep(
    swept: Iterable[Swept],
    closer_for: Callable[[TenantId], RunCloser],
    on_failure: Callable[[Swept, Exception], None],
) -> SweepReport:
    """Close and return; what fails, for whatever reason, does not keep the others.

    Slots come last: what belonged to a run that could be closed is settled then.
    """
    found = list(swept)
    open_runs = [each for each in found if isinstance(each, OpenRun)]
    closed = returned = failed = 0
    admissions = [each for each in found if isinstance(each, BusyAdmission)]
    ordered: list[Swept] = [*open_runs, *admissions]
    for each in ordered:
        try:
            closer = closer_for(each.tenant_id)
            if isinstance(each, OpenRun):
                closed += closer.close_lapsed(each.run_id)
            else:
                returned += return_orphans(closer, each.shard, each.place)
        except Exception as error:  # noqa: BLE001 - one that cannot be read must not keep all others open
            failed += 1
            on_failure(each, error)
    return SweepReport(len(open_runs), closed, returned, failed)
