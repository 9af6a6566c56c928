"""Sessions that a caller may see: the caller's sessions or, with the scope `admin`, all sessions of the tenant.

For other sessions, `NotFound` is raised.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from atrium.audit.service import AuditService
from atrium.kernel.clock import Clock
from atrium.kernel.errors import Conflict, NotFound
from atrium.kernel.ids import AgentId, RunId, SessionId, is_id, mint_session_id
from atrium.kernel.pagination import Page, PageRequest
from atrium.quotas.model import Recorded, Rejected
from atrium.runs.items import encode_message
from atrium.runs.model import Message, Run
from atrium.runs.store import RunStore
from atrium.sessions.model import LiveTurn, Session
from atrium.sessions.purge import purge_session
from atrium.sessions.store import SessionStore, record_of
from atrium.storage import keys
from atrium.storage.writes import Put
from atrium.tenants.context import TenantContext

PAGE_BYTES_MAX = 2_000_000
"""Maximum size of a page of messages as JSON. A Lambda response is limited to 6 MB, and escaping can double the
size.
"""
_NO_SESSION = "Session not found."


@dataclass(frozen=True, slots=True)
class SessionService:
    """Session operations for one caller. `end_run` ends a cancelled run that no worker has (`RunFinalizer`)."""

    context: TenantContext
    sessions: SessionStore
    runs: RunStore
    clock: Clock
    audit: AuditService
    end_run: Callable[[RunId], object] = lambda _run_id: None

    def create(
        self,
        record: Callable[[SessionId, Put], Recorded | Rejected],
        *,
        title: str | None,
        agent_id: AgentId | None,
        metadata: Mapping[str, Any],
        end_user: str = "",
    ) -> tuple[Session, Recorded | Rejected]:
        """Create an empty session. `record` writes and counts the session; after a rejection, no session exists."""
        now = self.clock()
        session = Session(
            id=mint_session_id(now),
            owner=self.context.owner,
            title=title,
            agent_id=agent_id,
            end_user=end_user,
            metadata=metadata,
            message_count=0,
            turn_count=0,
            created_at=now,
            updated_at=now,
            last_active_at=now,
        )
        return session, record(session.id, record_of(session))

    def get(self, session_id: str) -> Session:
        """Return a session. Raise `NotFound` if it does not exist or the caller may not see it."""
        return self._find(session_id)

    def _find(self, session_id: str, *, with_deleted: bool = False) -> Session:
        known = is_id(session_id, "ses")
        session = self.sessions.get(SessionId(session_id), with_deleted=with_deleted) if known else None
        if session is None or not self.may_see(session.owner):
            raise NotFound(_NO_SESSION)
        return session

    def may_see(self, owner: str) -> bool:
        return owner == self.context.owner or self.context.principal.sees_all

    def list(self, page: PageRequest, *, user_id: str | None = None, **wanted: str) -> Page[Session]:
        """List the sessions that the caller may see, with the attributes `wanted`, newest activity first."""
        if user_id is None and self.context.principal.sees_all:
            return self.sessions.list_all(page, **wanted)
        owner = user_id or self.context.owner
        return self.sessions.list_by_owner(owner, page, **wanted) if self.may_see(owner) else Page([], None)

    def change(self, session_id: str, changes: Mapping[str, Any]) -> Session:
        """Change the title, agent or metadata of a session. None removes a value."""
        session = self.get(session_id)
        stored = {**changes, "metadata": json.dumps(changes["metadata"] or {})} if "metadata" in changes else changes
        changed = self.sessions.change(session.id, stored, now=self.clock()) if changes else session
        if changed is None:
            raise NotFound(_NO_SESSION)
        return changed

    def delete(self, session_id: str, *, undelete_days: int) -> None:
        """Delete a session, and cancel its turn. The session becomes invisible to all callers immediately.

        It can be restored for `undelete_days` days. With 0 days, also a session that was deleted before is removed with
        its runs, events and blobs. A running turn then leaves only its ledger entry. If the call is interrupted, the
        sweeper completes the removal.
        """
        session, now = self._find(session_id, with_deleted=not undelete_days), self.clock()
        record = self._record("session.delete", session, undelete_days=undelete_days)
        if undelete_days:
            hidden = self.sessions.hide(session.id, record, now=now, until=now + timedelta(days=undelete_days))
            if hidden is None:
                raise NotFound(_NO_SESSION)
            self._cancel(hidden.turn)
            return
        self._cancel(session.turn)
        if not self.sessions.mark_deleted(session.id, record, now=now):
            raise NotFound(_NO_SESSION)
        purge_session(self.sessions, self.runs, session.id)

    def restore(self, session_id: str) -> Session:
        """Undo a deletion. Raise `Conflict` if the session is not deleted, `NotFound` if it can not be restored."""
        session = self._find(session_id, with_deleted=True)
        if not session.is_deleted:
            raise Conflict("The session is not deleted.")
        record = self._record("session.restore", session)
        restored = self.sessions.restore(session, record, now=self.clock())
        if restored is None:
            raise NotFound(_NO_SESSION)
        return restored

    def _cancel(self, turn: LiveTurn | None) -> None:
        if turn is not None:
            self.runs.request_cancel(turn.run_id)
            self.end_run(turn.run_id)

    def _record(self, action: str, session: Session, **more: object) -> Put:
        details = {"action": action, "resource": session.id, "owner": session.owner, **more}
        return self.audit.recording("admin.change", details, session_id=session.id, end_user=session.end_user)

    def list_messages(self, session_id: str, page: PageRequest) -> Page[tuple[Run, Message]]:
        """List the messages of a session, oldest first. For a running turn only the user's message is listed."""
        return self.read_messages(self.get(session_id), page)

    def read_messages(self, session: Session, page: PageRequest) -> Page[tuple[Run, Message]]:
        """Return a page of the messages of a session that the caller may see, oldest first."""
        position = dict(page.position) if page.position else None
        skip = int(position.pop("skip")) if position else 0
        runs = self.runs.list_by_session(session.id, PageRequest(page.limit, position or None), newest_first=False)
        return _cut(runs, skip, page.limit, position)


def size_of(message: Message) -> int:
    """Return the size of a message as JSON."""
    return len(json.dumps(encode_message(message)))


def _cut(runs: Page[Run], skip: int, limit: int, start: Mapping[str, str] | None) -> Page[tuple[Run, Message]]:
    """Return messages up to the limit and the maximum size of a response, but at least one.

    The position of the page contains the last run whose messages were all returned, and the number of returned messages
    of the next run.
    """
    taken: list[tuple[Run, Message]] = []
    whole, size = start, 0
    for run in runs.items:
        for at, message in enumerate(run.messages[skip:], skip):
            size += size_of(message)
            if taken and (len(taken) == limit or size > PAGE_BYTES_MAX):
                return Page(taken, {**(whole or {}), "skip": str(at)})
            taken.append((run, message))
        skip = 0
        whole = _position_of(run)
    return Page(taken, {**runs.position, "skip": "0"} if runs.position else None)


def _position_of(run: Run) -> dict[str, str]:
    key = keys.run(run.id)
    return {"pk": key.partition, "sk": key.sort}
