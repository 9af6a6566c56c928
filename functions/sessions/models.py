"""Bodies of sessions and messages."""

from typing import Annotated, Any

from atrium.http.fields import EndUser, OrNone, Title
from atrium.http.models import FreeJson, StrictModel
from atrium.kernel.clock import format_time
from atrium.runs.items import encode_blocks
from atrium.runs.model import Message, MessageRole, Run
from atrium.sessions.model import Session
from pydantic import Field

AgentRef = Annotated[str, Field(max_length=64)]


class SessionBody(StrictModel):
    """A new session; every part may be left out."""

    title: OrNone[Title] = None
    agent_id: AgentRef | None = None
    end_user: OrNone[EndUser] = None
    metadata: FreeJson = Field(default_factory=dict)


class SessionPatch(StrictModel):
    """Any part of a session; null clears it, what is absent stays."""

    title: OrNone[Title] = None
    agent_id: AgentRef | None = None
    metadata: FreeJson | None = None


class SessionAnswer(StrictModel):
    """A session as it is now. `user_id` is null when an API key owns it."""

    id: str
    title: str | None
    agent_id: str | None
    user_id: str | None
    end_user: str | None
    message_count: int
    metadata: dict[str, Any]
    created_at: str
    updated_at: str
    last_active_at: str


class MessageAnswer(StrictModel):
    """A message. Content blocks are text, thinking, tool_call or tool_result."""

    id: str
    role: MessageRole
    content: list[dict[str, Any]]
    run_id: str
    created_at: str
    updated_at: str


def render_session(session: Session) -> SessionAnswer:
    return SessionAnswer(
        id=session.id,
        title=session.title or None,
        agent_id=session.agent_id,
        user_id=session.user_id,
        end_user=session.end_user or None,
        message_count=session.message_count,
        metadata=dict(session.metadata),
        created_at=format_time(session.created_at),
        updated_at=format_time(session.updated_at),
        last_active_at=format_time(session.last_active_at),
    )


def render_message(found: tuple[Run, Message]) -> MessageAnswer:
    run, message = found
    return MessageAnswer(
        id=message.id,
        role=message.role,
        content=encode_blocks(message.content),
        run_id=run.id,
        created_at=format_time(message.created_at),
        updated_at=format_time(message.created_at),
    )
