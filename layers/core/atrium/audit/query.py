"""The query of audit events, which is created from the parameters of a request."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from atrium.audit.model import EVENT_TYPES, AuditEvent, EventType
from atrium.kernel.errors import ValidationFailed, invalid_field

type ExportFormat = Literal["json", "csv", "jsonl"]

DAYS_DEFAULT = 30
DAYS_MAX = 731
_KINDS = {"usr": "user", "key": "key", "cli": "client"}


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """A time range of the audit with optional filters by type, principal, session and tool.

    `since` is inclusive and `until` is exclusive.
    """

    since: datetime
    until: datetime
    type: EventType | Literal[""] = ""
    principal: str = ""
    session_id: str = ""
    tool: str = ""

    def matches(self, event: AuditEvent) -> bool:
        """Return whether an event matches the filters. The time range is not checked, because the read applies it."""
        return (
            self.type in ("", event.type)
            and self.principal in ("", event.origin.principal)
            and self.session_id in ("", event.session_id)
            and self.tool in ("", event.details.get("tool"))
        )


def make_query(
    *,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    type: str | None = None,
    user_id: str | None = None,
    session_id: str | None = None,
    tool: str | None = None,
) -> AuditQuery:
    """Return the query for a request; raise `ValidationFailed` for invalid parameters.

    By default, the query covers the last 30 days.
    """
    end = now + timedelta(milliseconds=1) if until is None else until
    begin = end - timedelta(days=DAYS_DEFAULT) if since is None else since
    if begin > end:
        raise _refuse("from", "`from` must not be later than `to`")
    if end - begin > timedelta(days=DAYS_MAX):
        raise _refuse("from", f"`from` and `to` must be at most {DAYS_MAX} days apart")
    known = [known for known in EVENT_TYPES if known == type]
    if type is not None and not known:
        raise _refuse("type", f"must be one of {', '.join(EVENT_TYPES)}")
    return AuditQuery(begin, end, known[0] if known else "", _principal(user_id), session_id or "", tool or "")


def _principal(some_id: str | None) -> str:
    """Return the principal, such as `user:usr_…`, for the id of a user, API key or client."""
    if some_id is None:
        return ""
    kind = _KINDS.get(some_id.partition("_")[0])
    if kind is None or not some_id.replace("_", "").isalnum() or not some_id.isascii():
        raise _refuse("user_id", "must be the id of a user (`usr_…`), a key (`key_…`) or a client (`cli_…`)")
    return f"{kind}:{some_id}"


def _refuse(name: str, message: str) -> ValidationFailed:
    return invalid_field(name, message, place="query")
