"""A session and what may be said of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from atrium.kernel.ids import AgentId, RunId, SessionId
from atrium.usage.model import Figures

USAGE_DAYS = 92
"""For how long a session keeps its usage, by day."""


@dataclass(frozen=True, slots=True)
class LiveTurn:
    """The run that holds the session. Whether it lives is told by the run's own lease."""

    run_id: RunId
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation. `owner` is the principal that made it; `turn_count` counts user messages.

    One that `is_deleted` is there only until all that belongs to it is removed; nobody is shown it. `usage` sums its
    turns by the UTC day on which they ended. `listed_at` is its position in the lists, less than five minutes before
    `last_active_at`; None if it was not read from the table.
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
    usage: Mapping[date, Figures] = field(default_factory=dict)
    listed_at: datetime | None = field(default=None, compare=False)

    @property
    def user_id(self) -> str | None:
        """The user who owns it, None when a key or client does."""
        return self.owner if self.owner.startswith("usr_") else None
