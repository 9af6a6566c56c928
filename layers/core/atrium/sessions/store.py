"""Sessions in the table. One turn at a time: the turn is an attribute of the head, taken and given back by
conditional writes. Metadata is kept as JSON text, because an item has no floats. A session that is being
deleted is marked first, so it is gone for everyone at once.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import AgentId, RunId, SessionId, own_ulid
from atrium.kernel.pagination import Page, PageRequest
from atrium.quotas.model import UNLIMITED
from atrium.sessions.model import LiveTurn, Session
from atrium.storage import keys
from atrium.storage.queries import Index, Query
from atrium.storage.table import TenantTable
from atrium.storage.writes import ANY, EXISTS, NEW, Delete, Put, Update, Write

_ALIVE = EXISTS + " AND attribute_not_exists(#deleted)"
_HELD = "#turn.#run = :run"


@dataclass(frozen=True, slots=True)
class SessionStore:
    """Every access to one tenant's sessions."""

    table: TenantTable

    def create(self, session: Session) -> None:
        """Record a new session, with its first turn where it has one; the same again is no error."""
        record = record_of(session)
        condition = f"{NEW} OR (#id = :id AND #created_at = :created)"
        values = {"id": session.id, "created": record.item["created_at"]}
        self.table.write(Put(record.key, record.item, condition, values))

    def get(self, session_id: SessionId, *, with_deleted: bool = False) -> Session | None:
        """Return a session; one whose deletion is under way only if asked for."""
        item = self.table.get(keys.session(session_id))
        session = read_session(item) if item else None
        return session if session and (with_deleted or not session.is_deleted) else None

    def change(self, session_id: SessionId, changes: Mapping[str, Any], *, now: datetime) -> Session | None:
        """Set attributes (None removes one); None if there is no such session."""
        present = {name: value for name, value in changes.items() if value is not None}
        present["updated_at"] = format_time(now)
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in present)
        removed = [f"#{name}" for name, value in changes.items() if value is None]
        if removed:
            expression += " REMOVE " + ", ".join(removed)
        try:
            return read_session(self.table.write(Update(keys.session(session_id), expression, _ALIVE, present)))
        except ConditionFailed:
            return None

    def open_turn(
        self, session_id: SessionId, run_id: RunId, *, now: datetime, messages_max: int = UNLIMITED
    ) -> Session:
        """Take the session for a run and return the head as it is then.

        `ConditionFailed` carries the head when another run holds it, when its last run is not older than
        this one (another clock is ahead), when it has `messages_max` user messages already, or when it is deleted; no
        head when there is none. Repeating is safe.
        """
        turn = _turn_attribute(LiveTurn(run_id, now))
        expression = (
            "SET #turn = :turn, #last_run = :ulid, #last_active_at = :now, #gsi1sk = :activity, "
            "#gsi2sk = :activity, #turn_count = #turn_count + :one"
        )
        free = "attribute_not_exists(#turn) AND #last_run < :ulid"
        values: dict[str, Any] = {
            "turn": turn,
            "ulid": own_ulid(run_id),
            "now": format_time(now),
            "one": 1,
            "activity": keys.activity(format_time(now), session_id),
        }
        if messages_max != UNLIMITED:
            free += " AND #turn_count < :messages_max"
            values["messages_max"] = messages_max
        update = Update(keys.session(session_id), expression, f"{_ALIVE} AND {free}", values)
        try:
            return read_session(self.table.write(update))
        except ConditionFailed as error:
            held = (error.item or {}).get("turn")
            if error.item and held == turn and "deleted" not in error.item:
                return read_session(error.item)  # our own write, whose reply was lost
            raise

    def close_turn(self, session_id: SessionId, run_id: RunId, *, messages: int) -> bool:
        """Give the session back and count the turn's messages; False if the run does not hold it any more."""
        return self._release(session_id, run_id, "#message_count = #message_count + :change", messages)

    def drop_turn(self, session_id: SessionId, run_id: RunId) -> bool:
        """Give the session back from a turn that never came to be; False if the run does not hold it any more."""
        return self._release(session_id, run_id, "#turn_count = #turn_count + :change", -1)

    def _release(self, session_id: SessionId, run_id: RunId, counting: str, change: int) -> bool:
        values = {"run": run_id, "change": change}
        update = Update(keys.session(session_id), f"SET {counting} REMOVE #turn", _HELD, values)
        return self._applies(update)

    def _applies(self, write: Write) -> bool:
        try:
            self.table.write(write)
        except ConditionFailed:
            return False
        return True

    def list_by_owner(self, owner: str, page: PageRequest) -> Page[Session]:
        """List an owner's sessions by last activity, newest first."""
        return self._list(keys.sessions_of(owner), "gsi1", page)

    def list_all(self, page: PageRequest) -> Page[Session]:
        """List the tenant's sessions by last activity, newest first."""
        return self._list(keys.all_sessions(), "gsi2", page)

    def mark_deleted(self, session_id: SessionId, *, now: datetime) -> bool:
        """Take the session out of every view; what belongs to it is removed afterwards. False if it is gone."""
        expression = "SET #deleted = :now REMOVE #gsi1pk, #gsi2pk, #turn"
        return self._applies(Update(keys.session(session_id), expression, EXISTS, {"now": format_time(now)}))

    def remove(self, session_id: SessionId) -> None:
        self.table.write(Delete(keys.session(session_id), ANY))

    def remove_new(self, session_id: SessionId, run_id: RunId) -> bool:
        """Remove a session whose first turn never came to be; False if the run does not hold it."""
        return self._applies(Delete(keys.session(session_id), _HELD, {"run": run_id}))

    def _list(self, partition: str, index: Index, page: PageRequest) -> Page[Session]:
        query = Query(partition, index=index, newest_first=True, limit=page.limit, position=page.position)
        found = self.table.fetch(query)
        sessions = [read_session(item) for item in found.items]
        return Page([session for session in sessions if not session.is_deleted], found.position)


def record_of(session: Session) -> Put:
    """Return the write that records a new session."""
    turn = session.turn
    item = {
        "id": session.id,
        "owner": session.owner,
        "title": session.title,
        "agent_id": session.agent_id,
        "end_user": session.end_user or None,
        "metadata": json.dumps(dict(session.metadata)),
        "message_count": session.message_count,
        "turn_count": session.turn_count,
        "created_at": format_time(session.created_at),
        "updated_at": format_time(session.updated_at),
        "last_active_at": format_time(session.last_active_at),
        "turn": _turn_attribute(turn) if turn else None,
        "last_run": own_ulid(turn.run_id) if turn else "",
        "gsi1pk": keys.sessions_of(session.owner),
        "gsi2pk": keys.all_sessions(),
        **_activity(session.id, session.last_active_at),
    }
    return Put(keys.session(session.id), item, NEW)


def read_session(item: Mapping[str, Any]) -> Session:
    """Return the session of a head item."""
    turn = item.get("turn")
    agent_id = item.get("agent_id")
    return Session(
        id=SessionId(item["id"]),
        owner=item["owner"],
        title=item.get("title"),
        agent_id=AgentId(agent_id) if agent_id else None,
        end_user=item.get("end_user", ""),
        metadata=json.loads(item["metadata"]),
        message_count=item["message_count"],
        turn_count=item["turn_count"],
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
        last_active_at=parse_time(item["last_active_at"]),
        turn=LiveTurn(RunId(turn["run"]), parse_time(turn["at"])) if turn else None,
        last_run_ulid=item.get("last_run", ""),
        is_deleted="deleted" in item,
    )


def _turn_attribute(turn: LiveTurn) -> dict[str, str]:
    return {"run": turn.run_id, "at": format_time(turn.opened_at)}


def _activity(session_id: SessionId, at: datetime) -> dict[str, str]:
    sort = keys.activity(format_time(at), session_id)
    return {"gsi1sk": sort, "gsi2sk": sort}
