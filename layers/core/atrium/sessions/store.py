"""Stores sessions in the table.

A session has one turn at a time. The turn is an attribute of the session item, and is set and removed by conditional
writes.

Metadata is stored as JSON text, because an item cannot contain floats. A session is marked before it is deleted, so it
becomes invisible to all callers immediately.

The write that ends a turn adds its usage to the session's usage of the day, so each turn is counted once. Usage is
stored in attributes `u<yymmdd>_<index of the figure>`, about 50 bytes per day. The next turn removes attributes older
than `USAGE_DAYS`. The position in the lists is updated at most every five minutes, because this update is half of the
cost of opening a turn. A turn that lasted longer also updates it when it ends.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import AgentId, RunId, SessionId, own_ulid
from atrium.kernel.pagination import Page, PageRequest
from atrium.quotas.model import UNLIMITED
from atrium.runs.model import Run
from atrium.sessions.model import USAGE_DAYS, LiveTurn, Session
from atrium.storage import keys
from atrium.storage.table import Index, Query, TenantTable
from atrium.storage.writes import ANY, EXISTS, NEW, Delete, Put, Update, Write
from atrium.usage.model import FIGURES, Figures, Period

_ALIVE = EXISTS + " AND attribute_not_exists(#deleted)"
_HELD = "#turn.#run = :run"
LISTED_INTERVAL = timedelta(minutes=5)
"""The longest time from a session's place in the lists to its last activity."""
_LAG_MAX = timedelta(
    days=1
)  # from a session's list position to the end of its last turn, which the sweeper may end late
_FETCHES_MAX = 10
_REMOVED_DAYS_MAX = 7  # maximum per turn, to limit the size of the expression
_USED = re.compile(r"u(\d{6})_(\d)")


@dataclass(frozen=True, slots=True)
class SessionStore:
    """Reads and writes the sessions of one tenant."""

    table: TenantTable

    def create(self, session: Session) -> None:
        """Write a new session, with its first turn if it has one. Idempotent."""
        record = record_of(session)
        condition = f"{NEW} OR (#id = :id AND #created_at = :created)"
        values = {"id": session.id, "created": record.item["created_at"]}
        self.table.write(Put(record.key, record.item, condition, values))

    def get(self, session_id: SessionId, *, with_deleted: bool = False) -> Session | None:
        """Return a session, or None. With `with_deleted`, also return a session that is being deleted."""
        item = self.table.get(keys.session(session_id))
        session = read_session(item) if item else None
        return session if session and (with_deleted or not session.is_deleted) else None

    def change(self, session_id: SessionId, changes: Mapping[str, Any], *, now: datetime) -> Session | None:
        """Set attributes of a session and return the session, or None if it does not exist. A value of None removes the
        attribute.
        """
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

    def open_turn(self, read: Session, run_id: RunId, *, now: datetime, messages_max: int = UNLIMITED) -> Session:
        """Set the session's turn to this run and return the updated session. Idempotent.

        `read` is the session as last read. Raises `ConditionFailed` with the session item in four cases: the session
        has another turn, its last run is not older than this run (clock difference), it has `messages_max` user
        messages, or it is deleted. If the session does not exist, the error has no item.
        """
        turn = _turn_attribute(LiveTurn(run_id, now))
        expression = "SET #turn = :turn, #last_run = :ulid, #last_active_at = :now, #turn_count = #turn_count + :one"
        free = "attribute_not_exists(#turn) AND #last_run < :ulid"
        values: dict[str, Any] = {"turn": turn, "ulid": own_ulid(run_id), "now": format_time(now), "one": 1}
        if read.listed_at is None or now - read.listed_at >= LISTED_INTERVAL:
            expression += ", #gsi1sk = :activity, #gsi2sk = :activity"
            values["activity"] = keys.activity(format_time(now), read.id)
        if messages_max != UNLIMITED:
            free += " AND #turn_count < :messages_max"
            values["messages_max"] = messages_max
        names = {f"o{at}": name for at, name in enumerate(_outdated(read, now))}
        if names:
            expression += " REMOVE " + ", ".join(f"#{alias}" for alias in names)
        update = Update(keys.session(read.id), expression, f"{_ALIVE} AND {free}", values, names)
        try:
            return read_session(self.table.write(update))
        except ConditionFailed as error:
            held = (error.item or {}).get("turn")
            if error.item and held == turn and "deleted" not in error.item:
                return read_session(error.item)  # this write succeeded before and its response was lost
            raise

    def close_turn(self, ended: Run) -> bool:
        """End a turn: count its messages and add its usage. Return False if the session has another turn."""
        used = _used(ended)
        values: dict[str, Any] = {"change": len(ended.messages), **used}
        expression = "SET #message_count = #message_count + :change"
        if ended.ended_at is not None and ended.ended_at - ended.started_at > LISTED_INTERVAL:
            expression += ", #last_active_at = :now, #gsi1sk = :activity, #gsi2sk = :activity"
            now = format_time(ended.ended_at)
            values |= {"now": now, "activity": keys.activity(now, ended.session_id)}
        expression += " REMOVE #turn ADD " + ", ".join(f"#{name} :{name}" for name in used)
        return self._release(ended.session_id, ended.id, expression, values)

    def drop_turn(self, session_id: SessionId, run_id: RunId) -> bool:
        """Remove a turn that never started, and decrement the turn count. Return False if the session has another
        turn.
        """
        return self._release(session_id, run_id, "SET #turn_count = #turn_count + :change REMOVE #turn", {"change": -1})

    def _release(self, session_id: SessionId, run_id: RunId, expression: str, values: Mapping[str, Any]) -> bool:
        return self._applies(Update(keys.session(session_id), expression, _HELD, {"run": run_id, **values}))

    def _applies(self, write: Write) -> bool:
        try:
            self.table.write(write)
        except ConditionFailed:
            return False
        return True

    def list_by_owner(self, owner: str, page: PageRequest) -> Page[Session]:
        """List the sessions of an owner, ordered by last activity, newest first."""
        return self._list(keys.sessions_of(owner), "gsi1", page)

    def list_all(self, page: PageRequest) -> Page[Session]:
        """List the sessions of the tenant, ordered by last activity, newest first."""
        return self._list(keys.all_sessions(), "gsi2", page)

    def list_used(self, period: Period, page: PageRequest) -> Page[tuple[str, Figures]]:
        """List the sessions used in a period, with their usage in that period, ordered by last activity, oldest first.

        Reads the items of all sessions active since the start of the period, with at most `_FETCHES_MAX` reads per
        page. A page may therefore be short and still be followed by another page.
        """
        since = datetime.combine(period.first, time.min, UTC) - _LAG_MAX
        query = Query(keys.all_sessions(), index="gsi2", after=format_time(since), position=page.position)
        found: list[tuple[str, Figures]] = []
        for _ in range(_FETCHES_MAX):
            part = self.table.fetch(replace(query, limit=page.limit - len(found)))
            for session in map(read_session, part.items):
                days = (used for day, used in session.usage.items() if period.first <= day <= period.last)
                figures = sum(days, Figures())
                if figures.requests and not session.is_deleted:
                    found.append((session.id, figures))
            query = replace(query, position=part.position)
            if part.position is None or len(found) == page.limit:
                break
        return Page(found, query.position)

    def mark_deleted(self, session_id: SessionId, *, now: datetime) -> bool:
        """Make a session invisible to all callers, before its data is deleted. Return False if the session does not
        exist.
        """
        expression = "SET #deleted = :now, #gsi2pk = :gsi2pk REMOVE #gsi1pk, #turn"
        values = {"now": format_time(now), "gsi2pk": keys.deleted_sessions()}
        return self._applies(Update(keys.session(session_id), expression, EXISTS, values))

    def remove(self, session_id: SessionId) -> None:
        self.table.write(Delete(keys.session(session_id), ANY))

    def remove_new(self, session_id: SessionId, run_id: RunId) -> bool:
        """Delete a session whose first turn never started. Return False if the session has another turn."""
        return self._applies(Delete(keys.session(session_id), _HELD, {"run": run_id}))

    def _list(self, partition: str, index: Index, page: PageRequest) -> Page[Session]:
        query = Query(partition, index=index, newest_first=True, limit=page.limit, position=page.position)
        found = self.table.fetch(query)
        sessions = [read_session(item) for item in found.items]
        return Page([session for session in sessions if not session.is_deleted], found.position)


def record_of(session: Session) -> Put:
    """Return the write that creates a session."""
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
    """Parse a session's item."""
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
        usage=_read_usage(item),
        listed_at=parse_time(item["gsi2sk"].partition("#")[0]),
    )


def _turn_attribute(turn: LiveTurn) -> dict[str, str]:
    return {"run": turn.run_id, "at": format_time(turn.opened_at)}


def _activity(session_id: SessionId, at: datetime) -> dict[str, str]:
    sort = keys.activity(format_time(at), session_id)
    return {"gsi1sk": sort, "gsi2sk": sort}


def _used(ended: Run) -> dict[str, int]:
    """Return the amounts that a turn adds to the usage of its session, by attribute."""
    spend, own_key = ended.spend, ended.has_own_key(ended.model)
    figures = asdict(Figures.of_call(spend.tokens, spend.tool_call_count, spend.cost_nanos, own_key=own_key)).values()
    day = (ended.ended_at or ended.started_at).astimezone(UTC)
    return {f"u{day:%y%m%d}_{position}": value for position, value in enumerate(figures) if value}


def _read_usage(item: Mapping[str, Any]) -> dict[date, Figures]:
    days: dict[date, list[int]] = {}
    for name, value in item.items():
        if found := _USED.fullmatch(name):
            days.setdefault(date.fromisoformat(f"20{found[1]}"), [0] * len(FIGURES))[int(found[2])] = value
    return {day: Figures(*values) for day, values in days.items()}


def _outdated(session: Session, now: datetime) -> list[str]:
    """Return the attributes of days that are older than `USAGE_DAYS`, for at most `_REMOVED_DAYS_MAX` days."""
    first = now.astimezone(UTC).date() - timedelta(days=USAGE_DAYS)
    days = sorted(day for day in session.usage if day < first)[:_REMOVED_DAYS_MAX]
    return [f"u{day:%y%m%d}_{position}" for day in days for position in range(len(FIGURES))]
