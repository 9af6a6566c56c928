"""Stores sessions in the table.

A session has one turn at a time. The turn is an attribute of the session item, and is set and removed by conditional
writes.

Metadata is stored as JSON text, because an item cannot contain floats.

A deleted session has the attribute `deleted`, which makes it invisible to all callers, and an entry in the sweep index,
by the time at which it is removed. Until then it has the attribute `purge_at` and can be restored. A turn that was
running ends as usual. The write that removes `purge_at` starts the removal, so a session is either restored or removed.

The write that ends a turn adds its usage to the session's usage of the day, so each turn is counted once. Usage is
stored in attributes `u<yymmdd>_<index of the figure>`, about 50 bytes per day. The next turn removes attributes older
than `USAGE_DAYS`. The position in the lists is updated at most every five minutes, because this update is half of the
cost of opening a turn. A turn that lasted longer also updates it when it ends.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import AgentId, RunId, SessionId, own_ulid
from atrium.kernel.pagination import Page, PageRequest
from atrium.quotas.model import UNLIMITED
from atrium.runs.model import Run
from atrium.sessions.model import USAGE_DAYS, ForkOrigin, LiveTurn, Session
from atrium.storage import keys
from atrium.storage.table import Index, Query, TenantTable
from atrium.storage.writes import ANY, EXISTS, NEW, Delete, Put, Update, Write
from atrium.usage.model import FIGURES, Figures, Period

_ALIVE = EXISTS + " AND attribute_not_exists(#deleted)"
_HELD = "#turn.#run = :run"
_LISTED_DELETED = "#gsi2pk = :gsi2pk, #sweep_pk = :sweep_pk, #sweep_sk = :sweep_sk"
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
        """Return a session, or None. With `with_deleted`, also return a deleted session."""
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

    def list_by_owner(self, owner: str, page: PageRequest, **wanted: str) -> Page[Session]:
        """List the sessions of an owner with the attributes `wanted`, ordered by last activity, newest first."""
        return self._list(keys.sessions_of(owner), "gsi1", page, wanted)

    def list_all(self, page: PageRequest, **wanted: str) -> Page[Session]:
        """List the sessions of the tenant with the attributes `wanted`, ordered by last activity, newest first."""
        return self._list(keys.all_sessions(), "gsi2", page, wanted)

    def list_used(self, period: Period, page: PageRequest) -> Page[tuple[str, Figures]]:
        """List the sessions used in a period, with their usage in that period, ordered by last activity, oldest first.

        Reads the items of all sessions active since the start of the period.
        """
        since = datetime.combine(period.first, time.min, UTC) - _LAG_MAX
        query = Query(keys.all_sessions(), index="gsi2", after=format_time(since), position=page.position)

        def read(session: Session) -> tuple[str, Figures] | None:
            days = (used for day, used in session.usage.items() if period.first <= day <= period.last)
            figures = sum(days, Figures())
            return (session.id, figures) if figures.requests else None

        return self._search(query, page.limit, read)

    def _search[Found](self, query: Query, limit: int, read: Callable[[Session], Found | None]) -> Page[Found]:
        """Return the results of `read`, without None, for the sessions of an index, with at most `_FETCHES_MAX` reads.

        A page may therefore be short, or empty, and still be followed by another page.
        """
        found: list[Found] = []
        for _ in range(_FETCHES_MAX):
            part = self.table.fetch(replace(query, limit=limit - len(found)))
            sessions = (session for session in map(read_session, part.items) if not session.is_deleted)
            found += [result for session in sessions if (result := read(session)) is not None]
            query = replace(query, position=part.position)
            if part.position is None or len(found) == limit:
                break
        return Page(found, query.position)

    def hide(
        self, session_id: SessionId, *records: Put, now: datetime, until: datetime, idle_since: datetime | None = None
    ) -> Session | None:
        """Delete a session so that it can be restored until the given time. Return it, or None if it does not exist.

        With `idle_since`, a session that has a turn or was active since then is not deleted.
        """
        values = {"now": format_time(now), "until": format_time(until), **self._listed_deleted(session_id, until)}
        expression = f"SET #deleted = :now, #purge_at = :until, {_LISTED_DELETED} REMOVE #gsi1pk"
        condition = _ALIVE
        if idle_since is not None:
            condition += " AND attribute_not_exists(#turn) AND #last_active_at < :idle"
            values["idle"] = format_time(idle_since)
        try:
            update = Update(keys.session(session_id), expression, condition, values)
            return read_session(self.table.write_audited(update, records))
        except ConditionFailed:
            return None

    def restore(self, session: Session, *records: Put, now: datetime) -> Session | None:
        """Make a deleted session visible again. Return it, or None if it can no longer be restored."""
        values = {
            "now": format_time(now),
            "gsi1pk": keys.sessions_of(session.owner),
            "gsi2pk": keys.all_sessions(),
        }
        expression = "SET #gsi1pk = :gsi1pk, #gsi2pk = :gsi2pk REMOVE #deleted, #purge_at, #sweep_pk, #sweep_sk"
        update = Update(keys.session(session.id), expression, "#purge_at > :now", values)
        try:
            return read_session(self.table.write_audited(update, records))
        except ConditionFailed:
            return None

    def mark_deleted(self, session_id: SessionId, *records: Put, now: datetime, is_due: bool = False) -> bool:
        """Start the removal of a session, which can then no longer be restored. The sweeper completes the removal.

        Returns False if the session does not exist or, with `is_due`, if its time to be removed has not come.
        """
        expression = f"SET #deleted = :now, {_LISTED_DELETED} REMOVE #gsi1pk, #turn, #purge_at"
        condition, values = EXISTS, {"now": format_time(now), **self._listed_deleted(session_id, now)}
        if is_due:
            condition = "attribute_exists(#deleted) AND (attribute_not_exists(#purge_at) OR #purge_at <= :now)"
        try:
            self.table.write_audited(Update(keys.session(session_id), expression, condition, values), records)
        except ConditionFailed:
            return False
        return True

    def _listed_deleted(self, session_id: SessionId, due: datetime) -> dict[str, str]:
        """Return the values of the index keys of a session to remove at the given time."""
        return {
            "gsi2pk": keys.deleted_sessions(),
            "sweep_pk": keys.purge_partition(keys.sweep_shard(session_id)),
            "sweep_sk": keys.purge_sort(format_time(due), self.table.tenant_id, session_id),
        }

    def mark_fork(self, session_id: SessionId, *, due: datetime) -> None:
        """Announce a session whose runs are written before the session. At `due` the sweeper removes what is left."""
        item = {**self._listed_deleted(session_id, due), "gsi2sk": session_id}
        self.table.write(Put(keys.fork(session_id), item, ANY))

    def unmark_fork(self, session_id: SessionId) -> None:
        self.table.write(Delete(keys.fork(session_id), ANY))

    def remove(self, session_id: SessionId) -> None:
        """Delete the items of a session without runs: the session and the marker of a fork."""
        self.table.delete_all([keys.session(session_id), keys.fork(session_id)])

    def remove_new(self, session_id: SessionId, run_id: RunId) -> bool:
        """Delete a session whose first turn never started. Return False if the session has another turn."""
        return self._applies(Delete(keys.session(session_id), _HELD, {"run": run_id}))

    def _list(self, partition: str, index: Index, page: PageRequest, wanted: Mapping[str, str]) -> Page[Session]:
        def read(session: Session) -> Session | None:
            return session if all(getattr(session, name) == value for name, value in wanted.items()) else None

        query = Query(partition, index=index, newest_first=True, position=page.position)
        return self._search(query, page.limit, read)


def record_of(session: Session) -> Put:
    """Return the write that creates a session."""
    turn, fork = session.turn, session.forked_from
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
        "last_run": own_ulid(turn.run_id) if turn else session.last_run_ulid,
        "forked_from": {"session": fork.session_id, "message": fork.message_id} if fork else None,
        "gsi1pk": keys.sessions_of(session.owner),
        "gsi2pk": keys.all_sessions(),
        **_activity(session.id, session.last_active_at),
    }
    return Put(keys.session(session.id), item, NEW)


def read_session(item: Mapping[str, Any]) -> Session:
    """Parse a session's item."""
    turn = item.get("turn")
    agent_id, fork = item.get("agent_id"), item.get("forked_from")
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
        restorable_until=parse_time(item["purge_at"]) if "purge_at" in item else None,
        forked_from=ForkOrigin(SessionId(fork["session"]), fork["message"]) if fork else None,
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
