"""Bodies of sessions and messages."""

from typing import Annotated, Any, Literal

from atrium.http.fields import EndUser, OrNone, Title
from atrium.http.models import FreeJson, StrictModel
from atrium.kernel.clock import format_time
from atrium.runs.items import encode_blocks
from atrium.runs.model import Message, MessageRole, Run
from atrium.sessions.model import Session
from pydantic import Field, JsonValue, TypeAdapter

AgentRef = Annotated[str, Field(max_length=64)]


class SessionBody(StrictModel):
    """A new session; every part may be left out."""

    title: OrNone[Title] = None
    """Title, at most 255 visible characters. Null or absent: none."""
    agent_id: AgentRef | None = None
    """Agent that answers in this session. Null or absent: the tenant's default agent."""
    end_user: OrNone[EndUser] = None
    """The person behind a shared key, at most 128 visible characters. Null or absent: none."""
    metadata: FreeJson = Field(default_factory=dict)
    """Your own data, a JSON object of at most 32,000 bytes and 16 levels. Default empty."""


class SessionPatch(StrictModel):
    """Any part of a session; null clears it, what is absent stays."""

    title: OrNone[Title] = None
    """Title, at most 255 visible characters. Null removes it."""
    agent_id: AgentRef | None = None
    """Agent that answers in this session. Null: the tenant's default agent."""
    metadata: FreeJson | None = None
    """Your own data, at most 32,000 bytes. Replaced as a whole; null empties it."""


class SessionAnswer(StrictModel):
    """A session as it is now. `user_id` is null when an API key owns it."""

    id: str
    """Id of the session."""
    title: str | None
    """Title. Null if there is none."""
    agent_id: str | None
    """Agent that answers in this session. Null: the tenant's default agent."""
    user_id: str | None
    """User who owns the session. Null if an API key or OAuth client owns it."""
    end_user: str | None
    """The person behind a shared key. Null if none was named."""
    message_count: int
    """How many messages the session has, tool results included."""
    metadata: dict[str, Any]
    """Your own data."""
    created_at: str
    """When it was created (RFC 3339, UTC)."""
    updated_at: str
    """When it was last changed (RFC 3339, UTC)."""
    last_active_at: str
    """When a turn last began, or when the session was created (RFC 3339, UTC)."""


class TextBlock(StrictModel):
    """A piece of text."""

    type: Literal["text"]
    """Kind of the block."""
    text: str
    """The text."""


class ThinkingBlock(StrictModel):
    """The model's thinking."""

    type: Literal["thinking"]
    """Kind of the block."""
    text: str
    """The thinking. Empty if it is redacted."""
    signature: str
    """The provider's proof that the thinking is unchanged. Empty if it sent none."""
    redacted: bool
    """Whether the provider encrypted the thinking."""


class ToolCallBlock(StrictModel):
    """A tool call of the model."""

    type: Literal["tool_call"]
    """Kind of the block."""
    tool_call_id: str
    """Id of the call, unique in the run."""
    tool: str
    """Name of the tool."""
    args: dict[str, JsonValue]
    """Arguments of the call."""


class ToolResultBlock(StrictModel):
    """The result of a tool call."""

    type: Literal["tool_result"]
    """Kind of the block."""
    tool_call_id: str
    """Id of the call that it answers."""
    result: str
    """What the model was told."""
    is_error: bool
    """Whether the tool failed."""


type ContentBlock = Annotated[TextBlock | ThinkingBlock | ToolCallBlock | ToolResultBlock, Field(discriminator="type")]
_CONTENT: TypeAdapter[list[ContentBlock]] = TypeAdapter(list[ContentBlock])


class MessageAnswer(StrictModel):
    """A message of a session."""

    id: str
    """Id of the message."""
    role: MessageRole
    """Who wrote it. `tool` messages carry the results of the tool calls before them."""
    content: list[ContentBlock]
    """Content blocks in order."""
    run_id: str
    """Run that the message belongs to."""
    created_at: str
    """When it was created (RFC 3339, UTC)."""
    updated_at: str
    """When it was last changed (RFC 3339, UTC)."""


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
        content=_CONTENT.validate_python(encode_blocks(message.content)),
        run_id=run.id,
        created_at=format_time(message.created_at),
        updated_at=format_time(message.created_at),
    )
