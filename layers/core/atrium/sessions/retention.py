"""Removes sessions in the background: deleted sessions after their undelete window, interrupted forks, and sessions
that were idle for longer than their tenant keeps sessions.

The sweep index lists the sessions to remove, and the tenants that delete idle sessions. Each step is idempotent, so a
sweeper that is killed is continued by the next one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from atrium.audit.model import Origin
from atrium.kernel.clock import Clock, format_time
from atrium.kernel.ids import SessionId, TenantId
from atrium.kernel.pagination import LIMIT_MAX
from atrium.runs.store import RunStore
from atrium.sessions.purge import purge_due
from atrium.sessions.store import SessionStore
from atrium.storage import keys
from atrium.storage.sweep import DueSession
from atrium.storage.table import Query
from atrium.tenants.auditing import audit_of
from atrium.tenants.store import TenantStore


@dataclass(frozen=True, slots=True)
class SessionSweepReport:
    """The numbers of sessions that were removed, of idle sessions that were deleted, and of failures."""

    removed: int = 0
    expired: int = 0
    failed: int = 0


@dataclass(slots=True)
class SessionSweep:
    """One pass over the sessions to remove. It ends early if `has_time` returns False."""

    stores: Callable[[TenantId], RunStore]
    clock: Clock
    has_time: Callable[[], bool]
    on_failure: Callable[[TenantId, Exception], None]
    failed: int = 0

    def run(self, due: Iterable[DueSession], retaining: Iterable[TenantId]) -> SessionSweepReport:
        """Remove the sessions that are due, then delete idle sessions. A failure does not stop the others."""
        removed = sum(self._try(each.tenant_id, partial(self._purge, each.session_id)) for each in self._timely(due))
        expired = sum(self._try(each, self._expire) for each in self._timely(retaining))
        return SessionSweepReport(removed, expired, self.failed)

    def _timely[Entry](self, entries: Iterable[Entry]) -> Iterator[Entry]:
        for entry in entries:
            if not self.has_time():
                return
            yield entry

    def _try(self, tenant_id: TenantId, act: Callable[[RunStore], int]) -> int:
        try:
            return act(self.stores(tenant_id))
        except Exception as error:  # noqa: BLE001 - an unreadable item must not stop the others
            self.failed += 1
            self.on_failure(tenant_id, error)
            return 0

    def _purge(self, session_id: SessionId, runs: RunStore) -> int:
        return purge_due(SessionStore(runs.table), runs, session_id, now=self.clock())

    def _expire(self, runs: RunStore) -> int:
        """Delete the sessions of a tenant that are idle for too long, those with the oldest activity first."""
        table, now = runs.table, self.clock()
        tenant = TenantStore(table).get()
        if tenant is None or not tenant.is_visible or tenant.session_retention_days is None:
            return 0
        idle_since = now - timedelta(days=tenant.session_retention_days)
        sessions, count = SessionStore(table), 0
        until = now + timedelta(days=tenant.undelete_days)
        query = Query(keys.all_sessions(), index="gsi2", between=("0", format_time(idle_since)), limit=LIMIT_MAX)
        for item in self._timely(table.query_all(query)):
            session_id = SessionId(item["gsi2sk"].partition("#")[2])
            count += sessions.hide(session_id, now=now, until=until, idle_since=idle_since) is not None
        if count:
            details = {"action": "session.expire", "resource": "sessions", "count": count}
            audit_of(tenant, table, Origin(), self.clock).record("admin.change", details)
        return count
