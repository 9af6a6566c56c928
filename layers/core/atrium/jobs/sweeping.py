"""The sweeper. Every minute, it closes the runs of all tenants whose lease expired, or leaves them to a worker that can
resume them (`RunFinalizer`), and settles slots without an open run.

A running run is found through its slot. A run without a slot, or that was taken over, is in the sweeper's index.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from functools import partial

from atrium.kernel.ids import RunId, TenantId
from atrium.quotas.model import Slot, Used
from atrium.sessions.finalizing import RunFinalizer
from atrium.storage import keys
from atrium.storage.sweep import BusyAdmission, OpenRun, Swept

SLOT_GRACE_SECONDS = 60
"""A slot without a run is settled this long after its lease expired, because the worker may record the run late."""


@dataclass(frozen=True, slots=True)
class SweepReport:
    """The results of a sweep: slots and runs examined, runs closed, slots settled without an open run, and failures."""

    looked_at: int
    closed: int
    returned: int
    failed: int


@dataclass(slots=True)
class Sweep:
    """One pass over the sweeper's index. If an entry fails, the other entries are still processed."""

    finalizer_for: Callable[[TenantId], RunFinalizer]
    on_failure: Callable[[Swept, Exception], None]
    counts: Counter[str] = field(default_factory=Counter)

    def run(self, swept: Iterable[Swept]) -> SweepReport:
        """Close runs and settle slots. Idempotent; several sweepers may run at the same time."""
        for each in swept:
            self._try(each, partial(self._sweep, each))
        return SweepReport(*(self.counts[name.name] for name in fields(SweepReport)))

    def _try(self, swept: Swept, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - an unreadable entry must not stop the others
            self.counts["failed"] += 1
            self.on_failure(swept, error)

    def _sweep(self, swept: Swept) -> None:
        finalizer = self.finalizer_for(swept.tenant_id)
        if isinstance(swept, OpenRun):
            self.counts["looked_at"] += 1
            self.counts["closed"] += finalizer.close_expired(swept.run_id)
            return
        store, place = finalizer.quotas.store, keys.admission(swept.scope_id)
        item = store.read([place])[place]
        slots = {**item.late, **item.slots}
        if not slots and item.version is not None:
            store.unmark(swept.scope_id)
        self.counts["looked_at"] += len(slots)
        for name, text in slots.items():
            self._try(swept, partial(self._sweep_slot, finalizer, swept, name, text, item.now))

    def _sweep_slot(self, finalizer: RunFinalizer, swept: BusyAdmission, name: str, text: str, now: float) -> None:
        slot = Slot.parse(text)
        if slot.lease_until < now:
            run_id = finalizer.runs.find(name)
            failing = OpenRun(swept.tenant_id, run_id) if run_id else swept
            self._try(failing, partial(self._close, finalizer, swept.scope_id, name, slot, run_id))

    def _close(self, finalizer: RunFinalizer, scope_id: str, name: str, slot: Slot, run_id: RunId | None) -> None:
        """Close the run of a slot whose lease expired. If there is no open run, settle the slot."""
        if run_id is not None and finalizer.close_expired(run_id):
            self.counts["closed"] += 1
        else:
            self.counts["returned"] += _return(finalizer, scope_id, name, slot, run_id)


def _return(finalizer: RunFinalizer, scope_id: str, name: str, slot: Slot, run_id: RunId | None) -> bool:
    """Settle a slot without an open run: to the usage in the ledger, or to 0 if the run was never recorded."""
    run = finalizer.runs.get(run_id) if run_id else None
    if run is not None and run.is_waiting:  # its worker could not settle the slot
        used = Used(run.spend.total_tokens, run.spend.cost_nanos)
        return finalizer.quotas.settle_slot(scope_id, name, slot, used, is_last=True)
    if run is not None and run.is_open:
        return False
    entry = finalizer.ledger.find(name)
    if entry is not None:
        return finalizer.quotas.settle_slot(scope_id, name, slot, Used(entry.total_tokens, entry.cost_nanos))
    if run is not None or finalizer.clock().timestamp() < slot.lease_until + SLOT_GRACE_SECONDS:
        return False
    return finalizer.quotas.settle_slot(scope_id, name, slot, Used(0, 0), undone=True)
