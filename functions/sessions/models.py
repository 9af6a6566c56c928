"""Request and response models of the session and message routes."""

from typing import Annotated, Any, Literal

from atrium.http.content import ImageBlock, TextBlock, TextOrImage
from atrium.http.fields import EndUser, OrNone, Title
from atrium.http.models import FreeJson, StrictModel
from atrium.kernel.clock import format_time
from atrium.runs.items import encode_blocks
from atrium.runs.model import Message, MessageRole, Run
from atrium.sessions.model import Session
from pydantic import Field, JsonValue, TypeAdapter

AgentRef = Annotated[str, Field(max_length=64)]


class SessionBody(StrictModel):
    """A session to create. All fields are optional."""

    title: OrNone[Title] = None
    """Title of the session, at most 255 visible characters. Null or absent: no title."""
    agent_id: AgentRef | None = None
    """Id of the session's agent. Null or absent: the tenant's default agent."""
    end_user: OrNone[EndUser] = None
    """Identifier of the person who uses a shared API key, at most 128 visible characters. Null or absent: not set."""
    metadata: FreeJson = Field(default_factory=dict)
    """Your data, a JSON object of at most 32,000 bytes and 16 nesting levels. Default: empty."""


class ForkBody(StrictModel):
    """The history to copy, and the title of the new session. All fields are optional."""

    message_id: Annotated[str, Field(max_length=64)] | None = None
    """Id of the last message of the copied history. Null or absent: the whole history."""
    title: OrNone[Title] = None
    """Title of the new session, at most 255 visible characters. Null or absent: the title of the copied session."""


class ForkedFrom(StrictModel):
    """The session that a session was copied from."""

    session_id: str
    """Id of the copied session."""
    message_id: str | None
    """Id, in the copied session, of the last message of the copied history. Null: the whole history was copied."""


class SessionPatch(StrictModel):
    """The fields of a session to change. Absent fields are not changed."""

    title: OrNone[Title] = None
    """Title of the session, at most 255 visible characters. Null removes the title."""
    agent_id: AgentRef | None = None
    """Id of the session's agent. Null: the tenant's default agent."""
    metadata: FreeJson | None = None
    """Your data, at most 32,000 bytes. Replaced as a whole. Null removes all metadata."""


class SessionAnswer(StrictModel):
    """A session (conversation): its agent, owner, title and metadata."""

    id: str
    """Id of the session."""
    title: str | None
    """Title of the session. Null if there is no title."""
    agent_id: str | None
    """Id of the session's agent. Null: the tenant's default agent."""
    user_id: str | None
    """Id of the user who owns the session. Null if an API key or OAuth client owns it."""
    end_user: str | None
    """Identifier of the person who uses a shared API key. Null if `end_user` was not sent."""
    message_count: int
    """Number of messages of the session, including tool results."""
    metadata: dict[str, Any]
    """Your data."""
    forked_from: ForkedFrom | None
    """The session that this session was copied from. Null if it is not a fork."""
    created_at: str
    """When the session was created (RFC 3339, UTC)."""
    updated_at: str
    """When the session was last changed (RFC 3339, UTC)."""
    last_active_at: str
    """When the latest turn began (or ended, if it took longer than five minutes), or when the session was created
    (RFC 3339, UTC)."""


class ThinkingBlock(StrictModel):
    """A content block with the model's thinking."""

    type: Literal["thinking"]
    """Type of the block."""
    text: str
    """Text of the thinking. Empty if the thinking is redacted."""
    signature: str
    """The provider's signature of the thinking. Empty if the provider did not send a signature."""
    redacted: bool
    """Whether the provider encrypted the thinking."""


class ToolCallBlock(StrictModel):
    """A content block with a tool call that the model requested."""

    type: Literal["tool_call"]
    """Type of the block."""
    tool_call_id: str
    """Id of the call, unique in the run."""
    tool: str
    """Name of the tool."""
    args: dict[str, JsonValue]
    """Arguments of the call."""


class ToolResultBlock(StrictModel):
    """A content block with the result of a tool call."""

    type: Literal["tool_result"]
    """Type of the block."""
    tool_call_id: str
    """Id of the tool call."""
    result: str | list[TextOrImage]
    """Result that was sent to the model: text, or a list of text and image blocks."""
    is_error: bool
    """Whether the tool failed."""


type ContentBlock = Annotated[
    TextBlock | ImageBlock | ThinkingBlock | ToolCallBlock | ToolResultBlock, Field(discriminator="type")
]
_CONTENT: TypeAdapter[list[ContentBlock]] = TypeAdapter(list[ContentBlock])


class MessageAnswer(StrictModel):
    """A message of a session: its role and content blocks."""

    id: str
    """Id of the message."""
    role: MessageRole
    """Role of the message's author. `tool` messages contain the results of the previous tool calls."""
    content: list[ContentBlock]
    """Content blocks in order."""
    run_id: str
    """Id of the run that the message belongs to."""
    created_at: str
    """When the message was created (RFC 3339, UTC)."""
    updated_at: str
    """When the message was last changed (RFC 3339, UTC)."""


def render_session(session: Session) -> SessionAnswer:
    fork = session.forked_from
    return SessionAnswer(
        id=session.id,
        title=session.title or None,
        agent_id=session.agent_id,
        user_id=session.user_id,
        end_user=session.end_user or None,
        message_count=session.message_count,
        metadata=dict(session.metadata),
        forked_from=ForkedFrom(session_id=fork.session_id, message_id=fork.message_id or None) if fork else None,
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
