"""A tenant's end, as far as others feel it: what it claims on the whole platform is released.

    its name                        for a tenant that is to be called so             `atrium.tenants.names`
    issuers with audiences          for a tenant that is to register them            20 at the most
    its users' emails               in the index that every login asks               in portions: there may be many

A claim is made in a transaction that asserts that the tenant is not deleted, or, where it is the platform's own item,
is taken back when that transaction is refused. So what is listed once the tenant is deleted is all there will be. What
a call left that died is found by the sweeper, or taken over by whoever wants it (`IssuerRegistry`).
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
"""Users' emails that are released in one portion, which a call to delete a tenant does one of: forty batches."""


@dataclass(frozen=True, slots=True)
class FinishReport:
    """How many deletions the sweeper ended, left for the next minute, and could not deal with."""

    finished: int
    left: int
    failed: int


@dataclass(frozen=True, slots=True)
class Offboarding:
    """Deletes tenants, and finishes deletions."""

    tenants: TenantService
    platform: PlatformTable
    table_of: Callable[[TenantId], TenantTable]
    clock: Clock

    def delete(self, tenant_id: str) -> None:
        """Delete a tenant; `NotFound` if it is deleted already, whose deletion is gone on with all the same."""
        self.tenants.delete(tenant_id, self.release)

    def release(self, tenant_id: TenantId) -> bool:
        """Release what a deleted tenant claims, `ADDRESSES_MAX` emails at the most; whether nothing is left."""
        pairs = IdentityProviderStore(self.table_of(tenant_id)).list_pairs()
        IssuerRegistry(self.platform).release_all(tenant_id, pairs)
        return self._release_addresses(tenant_id)

    def finish_all(
        self, has_time: Callable[[], bool], on_failure: Callable[[TenantId, AtriumError], None]
    ) -> FinishReport:
        """Finish the deletions that no call is at; what fails is met again by the next call of this, a minute later."""
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
            return True  # its call died before anything was done
        is_over = self.release(deletion.tenant_id)
        while not is_over and has_time():
            is_over = self._release_addresses(deletion.tenant_id)
        return is_over

    def _release_addresses(self, tenant_id: TenantId) -> bool:
        return UserStore(self.table_of(tenant_id)).release_addresses(most=ADDRESSES_MAX)
