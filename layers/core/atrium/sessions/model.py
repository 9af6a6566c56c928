"""The session model: sessions, and the turn that occupies a session."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from atrium.kernel.ids import AgentId, RunId, SessionId
from atrium.usage.model import Figures

USAGE_DAYS = 92
"""Number of days for which a session stores its usage."""


@dataclass(frozen=True, slots=True)
class LiveTurn:
    """The run that occupies a session. The run is executing if its lease is valid."""

    run_id: RunId
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class ForkOrigin:
    """The session that was copied, and the last copied message, or "" for the whole history."""

    session_id: SessionId
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation. `owner` is the principal that created it. `turn_count` is the number of user messages.

    No caller can see a session with `is_deleted`. It can be restored until `restorable_until`. If this is None, its
    runs are being removed. `forked_from` is None if the session did not begin as a copy. `usage` contains the
    usage of the session's turns by the UTC day on which they ended. `listed_at` is the session's position in the lists,
    at most five minutes before `last_active_at`, or None if the session was not read from the table.
    """

    id: SessionId
    owner: str
    title: str | None
    agent_id: AgentId | None
    end_user: str
    metadata: Mapping[str, Any]
    message_count: int
    turn_count: int
    created_at: datetime
    updated_at: datetime
    last_active_at: datetime
    turn: LiveTurn | None = None
    last_run_ulid: str = ""
    is_deleted: bool = False
    restorable_until: datetime | None = None
    forked_from: ForkOrigin | None = None
    usage: Mapping[date, Figures] = field(default_factory=dict)
    listed_at: datetime | None = field(default=None, compare=False)

    @property
    def is_purged(self) -> bool:
        """Return whether the data of the session is being removed."""
        return self.is_deleted and self.restorable_until is None

    @property
    def user_id(self) -> str | None:
        """Return the id of the user who owns the session, or None if an API key or client owns it."""
        return self.owner if self.owner.startswith("usr_") else None
