"""Runs erasures step by step in the available time. See the package docstring for the design."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from atrium.erasure import erasers, ledger, platform
from atrium.erasure.model import Eraser, Step, Target, eraser_of
from atrium.kernel.clock import Clock
from atrium.kernel.ids import TenantId
from atrium.storage import keys
from atrium.storage.blobs import TenantBlobs
from atrium.storage.table import PlatformTable, TenantTable
from atrium.tenants.deletions import Deletion, Deletions, Progress
from atrium.tenants.model import Tenant
from atrium.tenants.service import TenantService
from atrium.tenants.store import TenantStore

QUIET_SECONDS = 1_200
"""Seconds after a deletion when no process that started earlier can still write: Lambda's 15 minutes, and five minutes
for the authorizer's cache, expiring leases, and delays of indexes and streams.
"""

ERASERS: dict[str, Eraser] = {
    "root": erasers.erase_root,
    "issued": erasers.erase_issued,
    "files": eraser_of(keys.FILES),
    "idempotency": eraser_of(keys.IDEMPOTENCY),
    "oauth_states": eraser_of(keys.OAUTH_STATES),
    "sessions": erasers.eraser_of_sessions(keys.all_sessions()),
    "deleted_sessions": erasers.eraser_of_sessions(keys.deleted_sessions()),
    "runs": erasers.eraser_of_sessions(keys.all_runs()),
    "admissions": erasers.erase_admissions,
    "old_admissions": eraser_of(keys.OLD_ADMISSIONS),
    "tool_calls": eraser_of(keys.TOOL_CALLS),
    "followers": eraser_of(keys.followers().partition),
    "ledger": ledger.erase_ledger,  # before `days`, because the stream adds ledger entries to the usage aggregates
    "days": erasers.erase_days,
    "blobs": erasers.erase_blobs,
    "names": platform.erase_names,
    "issuers": platform.erase_issuers,
    "unlocks": platform.erase_unlocks,
    "answers": platform.erase_answers,
}
"""The erasers in the order of a pass."""
_ORDER = list(ERASERS)


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """The number of erasures by their state after one invocation of the sweeper.

    The erasures in `left` continue in the next minute. The erasures in `waiting` have not yet started their last pass.
    """

    finished: int = 0
    left: int = 0
    waiting: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Erasure:
    """Erases the data of deleted tenants."""

    tenants: TenantService
    platform: PlatformTable
    table_of: Callable[[TenantId], TenantTable]
    blobs_of: Callable[[TenantId], TenantBlobs]
    clock: Clock

    def run(self, has_time: Callable[[], bool], on_failure: Callable[[TenantId, Exception], None]) -> ErasureReport:
        """Run one step of each erasure in turn while `has_time` returns True.

        `on_failure` is called for each erasure that fails. Failed erasures are retried in the next minute.
        """
        deletions = Deletions(self.platform)
        pending = deque(deletions.list_left(now=self.clock()))
        finished = waiting = failed = 0
        while pending and has_time():
            deletion = pending.popleft()
            try:
                after = self._advance(deletions, deletion)
            except Exception as error:  # noqa: BLE001 - an unreadable item must not stop the other erasures
                failed += 1
                on_failure(deletion.tenant_id, error)
                continue
            if after is None:
                finished += 1
            elif after.progress.phase:
                pending.append(after)
            else:
                waiting += 1
        return ErasureReport(finished, len(pending), waiting, failed)

    def _advance(self, deletions: Deletions, deletion: Deletion) -> Deletion | None:
        """Run one step of an erasure and return its new progress, or None if the erasure is finished."""
        tenant, progress = TenantStore(self.table_of(deletion.tenant_id)).get(), deletion.progress
        if tenant is None or tenant.status != "deleted":
            deletions.end(deletion)  # the deletion call ended before it marked the tenant as deleted
            return None
        if progress.phase not in ERASERS:
            began = self._begin_pass(tenant, progress)
            if began is None:
                return deletion
            deletions.note(deletion, began)
            return replace(deletion, progress=began)
        step = ERASERS[progress.phase](self._target(tenant, progress), progress.position)
        after = _follow(progress, step)
        if not after.phase and after.is_last:
            TenantStore(self.table_of(tenant.id)).leave_tombstone(tenant, erased_at=self.clock())
            deletions.end(deletion)
            return None
        deletions.note(deletion, after)
        return replace(deletion, progress=after)

    def _begin_pass(self, tenant: Tenant, progress: Progress) -> Progress | None:
        """Start the next pass and return its progress, or None if it is too early for the last pass."""
        deleted_at = tenant.deleted_at or tenant.updated_at
        is_quiet = self.clock() >= deleted_at + timedelta(seconds=QUIET_SECONDS)
        if progress.passes and not is_quiet:
            return None
        self.tenants.finish_deletion(tenant.id)
        TenantStore(self.table_of(tenant.id)).leave_tombstone(tenant)
        return replace(progress, phase=_ORDER[0], position=None, is_last=is_quiet, waits=False)

    def _target(self, tenant: Tenant, progress: Progress) -> Target:
        table, blobs = self.table_of(tenant.id), self.blobs_of(tenant.id)
        return Target(tenant, table, self.platform, blobs, self.clock(), progress.is_last, progress.waits)


def _follow(progress: Progress, step: Step) -> Progress:
    """Return the progress of an erasure after a step."""
    following = _ORDER.index(progress.phase) + step.is_done
    is_over = following == len(_ORDER)
    return replace(
        progress,
        phase="" if is_over else _ORDER[following],
        position=None if step.is_done else step.position,
        passes=progress.passes + is_over,
        waits=progress.waits or step.waits,
        items=progress.items + step.items,
        blobs=progress.blobs + step.blobs,
    )
