"""Records, lists and exports the audit events of one tenant. Every event is masked before it is stored.

If an event cannot be written, the call fails, so that the audit is complete.
"""

import csv
import io
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from atrium.audit.bound import RefusalBound
from atrium.audit.masking import mask_text
from atrium.audit.model import AuditEvent, EventType, Origin, mask_details, mask_origin
from atrium.audit.query import AuditQuery
from atrium.audit.store import AuditStore
from atrium.kernel.clock import Clock, format_time
from atrium.kernel.errors import AtriumError
from atrium.kernel.ids import derive_audit_event_id, mint_audit_event_id
from atrium.kernel.pagination import Page, PageRequest
from atrium.storage.writes import Put

_LOG = logging.getLogger(__name__)
COLUMNS = ("time", "type", "principal", "session_id", "details", "ip", "user_agent", "count", "end_user", "request_id")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class AuditService:
    """Writes and reads the audit of one tenant. `keep_days` is the audit retention of the tenant's current plan."""

    store: AuditStore
    origin: Origin
    keep_days: int
    clock: Clock

    def record(
        self,
        type: EventType,
        details: Mapping[str, object],
        *,
        session_id: str = "",
        end_user: str = "",
    ) -> None:
        """Append an event with the current time."""
        event = self._event(type, details, session_id, end_user)
        self.store.put(event, keep_days=self.keep_days)

    def record_refusal(self, details: Mapping[str, object], bound: RefusalBound, *, like: str = "") -> None:
        """Append an `auth.refuse` event, unless `bound` does not admit the refusal.

        Refusals with the same IP address, details and `like` are of the same kind. `like` is a value that is not
        stored, such as an email.
        """
        tenant_id, what = self.store.table.tenant_id, f"{self.origin.ip}\n{like}\n{sorted(details.items())}"
        if not bound.admits(tenant_id, what, self.clock()):
            _LOG.info("refusal not recorded: the limit per minute is reached")
            return
        try:
            self.record("auth.refuse", details)
        except AtriumError:
            bound.forget(tenant_id, what)
            raise

    def recording(
        self, type: EventType, details: Mapping[str, object], *, session_id: str = "", end_user: str = ""
    ) -> Put:
        """Return the write that appends an event, for the transaction that makes the audited change."""
        return self.store.appending(self._event(type, details, session_id, end_user), keep_days=self.keep_days)

    def _event(self, type: EventType, details: Mapping[str, object], session_id: str, end_user: str) -> AuditEvent:
        now = self.clock()
        return AuditEvent(
            mint_audit_event_id(now), now, type, mask_origin(self.origin), session_id, mask_text(end_user),
            mask_details(details),
        )  # fmt: skip

    def record_tool_call(
        self,
        tool: str,
        version: str,
        arguments: Mapping[str, object],
        *,
        result_length: int,
        is_error: bool,
        duration_ms: int,
        session_id: str,
        end_user: str = "",
    ) -> None:
        """Append a `tool.call` event with the arguments and the length of the result, but without the result."""
        details = {
            "tool": tool,
            "version": version,
            "arguments": arguments,
            "result_length": result_length,
            "is_error": is_error,
            "duration_ms": duration_ms,
        }
        self.record("tool.call", details, session_id=session_id, end_user=end_user)

    def count_refusal(self, limit: str, details: Mapping[str, object]) -> None:
        """Append a `quota.refuse` event, or increment the count of the existing event.

        There is one event per principal, limit and minute, which contains the details of the first refusal.
        """
        minute = self.clock().replace(second=0, microsecond=0)
        seed = sha256(f"{self.origin.principal}\n{limit}".encode()).digest()
        event = AuditEvent(
            derive_audit_event_id(minute, seed),
            minute,
            "quota.refuse",
            mask_origin(self.origin),
            details=mask_details({**details, "limit": limit}),
        )
        self.store.count(event, keep_days=self.keep_days)

    def list(self, query: AuditQuery, page: PageRequest) -> Page[AuditEvent]:
        """Return a page of events, newest first."""
        return self.store.list(query, page, now=self.clock())

    def export(self, query: AuditQuery, file_format: Literal["csv", "jsonl"]) -> Iterator[str]:
        """Yield the lines of a file, newest event first. The first line of a CSV file contains the column names."""
        events = self.store.list_all(query, now=self.clock())
        if file_format == "jsonl":
            return (json.dumps(render_event(event), ensure_ascii=False) + "\n" for event in events)
        return _csv_lines(events)


def render_event(event: AuditEvent) -> dict[str, object]:
    """Return an event in the format of the API."""
    values = (
        format_time(event.at), event.type, event.origin.principal or None, event.session_id or None,
        dict(event.details), event.origin.ip or None, event.origin.user_agent or None, event.count,
        event.end_user or None, event.origin.request_id or None,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _csv_lines(events: Iterator[AuditEvent]) -> Iterator[str]:
    yield write_csv_line(list(COLUMNS))
    yield from map(write_csv_event, events)


def write_csv_event(event: AuditEvent) -> str:
    """Return an event as a line of CSV."""
    rendered = render_event(event)
    rendered["details"] = json.dumps(rendered["details"], ensure_ascii=False)
    return write_csv_line([_cell(value) for value in rendered.values()])


def _cell(value: object) -> str:
    """Return the text of a CSV cell, with a leading quote if a spreadsheet would evaluate the text as a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_csv_line(cells: list[str]) -> str:
    """Return a line of CSV with the given cells, including the line end."""
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
