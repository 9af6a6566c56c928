"""Deletes tenants, and releases what a deleted tenant claims on the whole platform:

    its name                        can be claimed by other tenants                  `atrium.tenants.names`
    its issuers and audiences       can be registered by other tenants               at most 20
    its users' emails               are removed from the login index                 in batches of `ADDRESSES_MAX`

A claim is made in a transaction that checks that the tenant is not deleted. A claim in a platform item is released if
that transaction is refused. So a deleted tenant makes no new claims. Claims of an interrupted call are released by the
sweeper, or taken over by the next tenant (`IssuerRegistry`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from atrium.identity.providers.store import IdentityProviderStore, IssuerRegistry
from atrium.identity.users.store import UserStore
from atrium.kernel.clock import Clock
from atrium.kernel.errors import AtriumError
from atrium.kernel.ids import TenantId
from atrium.storage.table import PlatformTable, TenantTable
from atrium.tenants.deletions import Deletion, Deletions
from atrium.tenants.service import TenantService

ADDRESSES_MAX = 1_000
"""Emails released in one batch. A call to delete a tenant releases one batch: 40 batch writes."""


@dataclass(frozen=True, slots=True)
class FinishReport:
    """How many deletions the sweeper finished, left for the next run, and failed to process."""

    finished: int
    left: int
    failed: int


@dataclass(frozen=True, slots=True)
class Offboarding:
    """Deletes tenants and finishes interrupted deletions."""

    tenants: TenantService
    platform: PlatformTable
    table_of: Callable[[TenantId], TenantTable]
    clock: Clock

    def delete(self, tenant_id: str) -> None:
        """Delete a tenant. Raises `NotFound` if it is already deleted, after continuing its deletion."""
        self.tenants.delete(tenant_id, self.release)

    def release(self, tenant_id: TenantId) -> bool:
        """Release what a deleted tenant claims, with at most `ADDRESSES_MAX` emails; return whether nothing is left."""
        pairs = IdentityProviderStore(self.table_of(tenant_id)).list_pairs()
        IssuerRegistry(self.platform).release_all(tenant_id, pairs)
        return self._release_addresses(tenant_id)

    def finish_all(
        self, has_time: Callable[[], bool], on_failure: Callable[[TenantId, AtriumError], None]
    ) -> FinishReport:
        """Finish the deletions that no call is processing. Failed ones are retried by the next run."""
        deletions = Deletions(self.platform)
        finished = left = failed = 0
        for deletion in deletions.list_left(now=self.clock()):
            try:
                is_finished = self._finish(deletion, has_time)
                if is_finished:
                    deletions.end(deletion)
            except AtriumError as error:
                failed += 1
                on_failure(deletion.tenant_id, error)
            else:
                finished += is_finished
                left += not is_finished
        return FinishReport(finished, left, failed)

    def _finish(self, deletion: Deletion, has_time: Callable[[], bool]) -> bool:
        if not has_time():
            return False
        if not self.tenants.finish_deletion(deletion.tenant_id):
            return True  # the call was interrupted before it changed anything
        is_over = self.release(deletion.tenant_id)
        while not is_over and has_time():
            is_over = self._release_addresses(deletion.tenant_id)
        return is_over

    def _release_addresses(self, tenant_id: TenantId) -> bool:
        return UserStore(self.table_of(tenant_id)).release_addresses(most=ADDRESSES_MAX)
