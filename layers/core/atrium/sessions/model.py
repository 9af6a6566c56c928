"""A session and what may be said of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from atrium.kernel.ids import AgentId, RunId, SessionId


@dataclass(frozen=True, slots=True)
class LiveTurn:
    """The run that holds the session. Whether it lives is told by the run's own lease."""

    run_id: RunId
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation. `owner` is the principal that made it; `turn_count` counts user messages.

    One that `is_deleted` is there only until all that belongs to it is removed; nobody is shown it.
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

    @property
    def user_id(self) -> str | None:
        """The user who owns it, None when a key or client does."""
        return self.owner if self.owner.startswith("usr_") else None
