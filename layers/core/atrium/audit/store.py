"""Stores audit events as append-only items in the table.

Each day has a separate partition. The items expire after the plan's retention. Events are read by time, by type (gsi1)
or by principal (gsi2), newest first. Other filters are applied after the read.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from atrium.audit.model import AuditEvent, Origin
from atrium.audit.query import AuditQuery
from atrium.kernel.clock import epoch_seconds, format_time, parse_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import AuditEventId
from atrium.kernel.pagination import Page, PageRequest, Position, read_all
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import Index, Query, TenantTable
from atrium.storage.writes import ANY, NEW, Put, Update

READS_MAX = 31


@dataclass(frozen=True, slots=True)
class AuditStore:
    """Reads and writes the audit of one tenant."""

    table: TenantTable

    def appending(self, event: AuditEvent, *, keep_days: int) -> Put:
        """Return the write that appends an event, for a transaction."""
        return appending(event, keep_days=keep_days)

    def put(self, event: AuditEvent, *, keep_days: int) -> None:
        """Append an event. Idempotent."""
        try:
            self.table.write(self.appending(event, keep_days=keep_days))
        except ConditionFailed:
            return  # ids are unique, so the existing item is this event

    def count(self, event: AuditEvent, *, keep_days: int) -> None:
        """Append an event, or increment the count of an existing event.

        If a response is lost and the SDK repeats the write, the event may be counted twice.
        """
        item = {name: value for name, value in _item(event, keep_days).items() if value is not None}
        del item["count"]
        assignments = ", ".join(f"#{name} = if_not_exists(#{name}, :{name})" for name in item)
        expression = f"SET {assignments} ADD #count :one"
        self.table.write(Update(_key(event), expression, ANY, {**item, "one": 1}))

    def list(self, query: AuditQuery, page: PageRequest, *, now: datetime) -> Page[AuditEvent]:
        """Return a page of events, newest first.

        A page may have fewer events than its limit, or no events, although there is a next page.
        """
        found: list[AuditEvent] = []
        position = page.position
        for _ in range(READS_MAX):
            items, position = self._read(query, page.limit - len(found), position)
            alive = (item for item in items if item["ttl"] > epoch_seconds(now))
            found += [event for event in map(read_event, alive) if query.matches(event)]
            if position is None or len(found) >= page.limit:
                break
        return Page(found, position)

    def list_all(self, query: AuditQuery, *, now: datetime) -> Iterator[AuditEvent]:
        """Yield all events of a query, newest first, one page at a time."""
        return read_all(partial(self.list, query, now=now))

    def _read(
        self, query: AuditQuery, limit: int, position: Position | None
    ) -> tuple[Sequence[Mapping[str, Any]], Position | None]:
        between = (format_time(query.since), format_time(query.until))
        base = Query("", newest_first=True, limit=limit, between=between)
        if query.principal or query.type:
            by_principal = bool(query.principal)
            partition = keys.audit_of_principal(query.principal) if by_principal else keys.audit_of_type(query.type)
            index: Index = "gsi2" if by_principal else "gsi1"
            page = self.table.fetch(replace(base, partition=partition, index=index, position=position))
            return page.items, page.position
        day, inside = _resume(query, position)
        page = self.table.query(replace(base, partition=keys.audit_day(day), position=inside))
        return page.items, page.position or _day_before(query, day)


def appending(event: AuditEvent, *, keep_days: int) -> Put:
    """Return the write that appends an event to the audit of a tenant or of the platform."""
    return Put(_key(event), _item(event, keep_days), NEW)


def _resume(query: AuditQuery, position: Position | None) -> tuple[date, Position | None]:
    """Return the day to read and the position within that day, or None to start at its newest event."""
    if position is None:
        return query.until.astimezone(UTC).date(), None
    if "day" in position:
        return date.fromisoformat(position["day"]), None
    return date.fromisoformat(position["pk"].partition("#")[2]), position


def _day_before(query: AuditQuery, day: date) -> Position | None:
    before = day - timedelta(days=1)
    return {"day": before.isoformat()} if before >= query.since.astimezone(UTC).date() else None


def _key(event: AuditEvent) -> Key:
    day = event.at.astimezone(UTC).date()
    return Key(keys.audit_day(day), keys.audit_moment(format_time(event.at), event.id))


def _item(event: AuditEvent, keep_days: int) -> dict[str, Any]:
    moment = keys.audit_moment(format_time(event.at), event.id)
    principal = event.origin.principal
    return {
        "id": event.id,
        "at": format_time(event.at),
        "type": event.type,
        "principal": principal or None,
        "ip": event.origin.ip or None,
        "user_agent": event.origin.user_agent or None,
        "request_id": event.origin.request_id or None,
        "session_id": event.session_id or None,
        "end_user": event.end_user or None,
        "details": json.dumps(event.details, ensure_ascii=False),
        "count": event.count,
        "ttl": epoch_seconds(event.at + timedelta(days=keep_days)),
        "gsi1pk": keys.audit_of_type(event.type),
        "gsi1sk": moment,
        "gsi2pk": keys.audit_of_principal(principal) if principal else None,
        "gsi2sk": moment if principal else None,
    }


def read_event(item: Mapping[str, Any]) -> AuditEvent:
    """Return the event that is stored in an item."""
    names = ("principal", "ip", "user_agent", "request_id")
    return AuditEvent(
        id=AuditEventId(item["id"]),
        at=parse_time(item["at"]),
        type=item["type"],
        origin=Origin(**{name: item.get(name, "") for name in names}),
        session_id=item.get("session_id", ""),
        end_user=item.get("end_user", ""),
        details=json.loads(item["details"]),
        count=item["count"],
    )
