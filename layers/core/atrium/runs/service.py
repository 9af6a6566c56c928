"""Runs that a caller may see: the caller's runs or, with the scope `admin`, all runs of the tenant."""

from collections.abc import Sequence
from dataclasses import dataclass

from atrium.kernel.errors import NotFound
from atrium.kernel.ids import RunId, SessionId, is_id
from atrium.kernel.pagination import Page, PageRequest
from atrium.runs.model import Run, RunStatus
from atrium.runs.store import RunStore
from atrium.storage import keys
from atrium.tenants.context import TenantContext


@dataclass(frozen=True, slots=True)
class RunService:
    """Run operations for one caller."""

    context: TenantContext
    runs: RunStore

    def get(self, run_id: str) -> Run:
        """Return a run. Raise `NotFound` if the run does not exist or the caller may not see it."""
        run = self.runs.get(RunId(run_id)) if is_id(run_id, "run") else None
        if run is None or not self._may_see(run) or not without_deleted(self.runs, [run]):
            raise NotFound("Run not found.")
        return run

    def cancel(self, run_id: str) -> Run:
        """Request the cancellation of a run. The worker stops within seconds. A run that has ended is not changed."""
        run = self.get(run_id)
        if not run.is_open:
            return run
        return self.runs.request_cancel(run.id) or run

    def list(self, page: PageRequest, *, session_id: str | None, status: RunStatus | None) -> Page[Run]:
        """List runs, newest first. A page of a filtered list may be short and still be followed by another page."""
        found = self._list(page, session_id)
        kept = [run for run in found.items if self._may_see(run) and status in {None, run.status}]
        return Page(without_deleted(self.runs, kept), found.position)

    def _list(self, page: PageRequest, session_id: str | None) -> Page[Run]:
        if session_id is not None:
            if not is_id(session_id, "ses"):
                return Page([], None)
            found = SessionId(session_id)
            return self.runs.list_by_session(found, page, newest_first=True, with_messages=False)
        if self.context.principal.sees_all:
            return self.runs.list_all(page)
        return self.runs.list_by_owner(self.context.owner, page)

    def _may_see(self, run: Run) -> bool:
        return run.owner == self.context.owner or self.context.principal.sees_all


def without_deleted(runs: RunStore, found: Sequence[Run]) -> list[Run]:
    """Return the runs whose sessions are not deleted. Costs one batch read."""
    heads = runs.table.batch_get({keys.session(run.session_id) for run in found})
    return [run for run in found if "deleted" not in heads.get(keys.session(run.session_id), {})]
