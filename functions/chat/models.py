"""Request and response models of the chat and run routes."""

from typing import Annotated, Any, Literal

from atrium.agent.model import MAX_SECONDS_DEFAULT, MESSAGE_CHARACTERS_MAX, RunLimits, TurnRequest
from atrium.http.content import ImageBlock, TextBlock
from atrium.http.fields import NOT_BLANK, EndUser, OrNone
from atrium.http.models import FreeJson, Money, StrictModel
from atrium.kernel.clock import format_time
from atrium.llm.catalogue import to_nanos
from atrium.llm.content import IMAGE_BYTES_MAX, IMAGES_MAX, size_of
from atrium.llm.model import Image, Text
from atrium.runs.model import Routing, Run, RunStatus, answer_id, answer_text, usage_fields
from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter

from functions.chat.events import RoutingAnswer, RoutingField, StopReason, UsageAnswer

_TOKENS_MAX = 10_000_000
_BLOCKS_MAX = 100


class MessageTextBlock(TextBlock):
    """A content block with a part of the text of a user message."""

    text: Annotated[str, Field(max_length=MESSAGE_CHARACTERS_MAX)]
    """The text."""


type MessageBlock = MessageTextBlock | ImageBlock

_MessageText = Annotated[str, Field(min_length=1, max_length=MESSAGE_CHARACTERS_MAX, pattern=NOT_BLANK)]
_MessageBlocks = Annotated[
    list[Annotated[MessageTextBlock | ImageBlock, Field(discriminator="type")]],
    Field(min_length=1, max_length=_BLOCKS_MAX),
]
_TEXT: TypeAdapter[str] = TypeAdapter(_MessageText)


def _as_blocks(message: object) -> object:
    """Return a text as a list with one block, and a list unchanged."""
    if isinstance(message, str):
        return [MessageTextBlock(type="text", text=_TEXT.validate_python(message))]
    if not isinstance(message, list):
        raise ValueError("must be a string or a list of content blocks")  # noqa: TRY004 - pydantic reports ValueError
    return message


def _check_blocks(blocks: list[MessageBlock]) -> list[MessageBlock]:
    texts = [block.text for block in blocks if isinstance(block, TextBlock)]
    if sum(map(len, texts)) > MESSAGE_CHARACTERS_MAX:
        raise ValueError(f"must have at most {MESSAGE_CHARACTERS_MAX} characters")
    images = [block.source.data for block in blocks if isinstance(block, ImageBlock)]
    if len(images) > IMAGES_MAX:
        raise ValueError(f"must have at most {IMAGES_MAX} images")
    if sum(map(size_of, images)) > IMAGE_BYTES_MAX:
        raise ValueError(f"must have images of at most {IMAGE_BYTES_MAX} bytes together")
    if not images and not any(text.strip() for text in texts):
        raise ValueError("must not be blank")
    return blocks


def _to_domain(block: MessageBlock) -> Text | Image:
    return Text(block.text) if isinstance(block, TextBlock) else Image(block.source.media_type, block.source.data)


class LimitsBody(StrictModel):
    """Limits of this run."""

    max_cost_usd: Annotated[Money, Field(gt=0, le=1_000_000, decimal_places=6)] | None = None
    """Maximum cost of the run, in USD as decimal text, above 0 and at most 1,000,000. Null or absent: no limit."""
    max_tokens: Annotated[int, Field(ge=1, le=_TOKENS_MAX)] | None = None
    """Maximum input and output tokens of the run, 1 to 10,000,000. Null or absent: no limit."""
    max_iterations: Annotated[int, Field(ge=1, le=100)] | None = None
    """Maximum model calls of the run, 1 to 100. Null or absent: the agent's limit."""
    max_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS_DEFAULT)] | None = None
    """Maximum duration of the run, 1 to 280 seconds. Null or absent: 280."""

    def to_domain(self) -> RunLimits:
        cost = None if self.max_cost_usd is None else to_nanos(self.max_cost_usd)
        return RunLimits(cost, self.max_tokens, self.max_iterations, self.max_seconds)


class ChatBody(StrictModel):
    """A user message, with optional session, agent, model and limits."""

    message: Annotated[
        _MessageBlocks,
        BeforeValidator(_as_blocks, json_schema_input_type=_MessageText | _MessageBlocks),
        AfterValidator(_check_blocks),
    ]
    """The user's message: a text, or a list of text and image blocks. It must not be blank. The plan limits the length
    of its text: from 10,000 characters in the plan `free` to 100,000 in the plan `enterprise`. At most 10 images are
    allowed, with at most 750,000 bytes together, and the model must accept images.
    """
    session_id: Annotated[str, Field(max_length=64)] | None = None
    """Id of the session to continue. Null or absent: a new session is created."""
    agent_id: Annotated[str, Field(max_length=64)] | None = None
    """Id of the agent that answers. Null or absent: the session's agent, or the tenant's default agent."""
    provider: OrNone[Annotated[str, Field(max_length=64)]] = None
    """`anthropic`, `openai` or `zhipu`; must be the model's provider. Null or absent: the model's provider. For the
    model `auto`, only null, absent or `auto`.
    """
    model: OrNone[Annotated[str, Field(max_length=128)]] = None
    """Id of the model, at most 128 characters, or `auto`: the routing rules choose it. The plan must include the model.
    Null or absent: the agent's model.
    """
    tenant_id: Annotated[str, Field(max_length=64)] | None = None
    """Must be the id of the credential's tenant. Null or absent: the credential's tenant."""
    limits: LimitsBody = LimitsBody()
    """Limits of this run. Default: the limits of the agent and the platform."""
    on_busy: Literal["reject", "queue", "interrupt"] = "reject"
    """What to do if a turn is already running in the session: `reject` returns 409, `queue` waits for the turn to end,
    `interrupt` cancels the turn. Default `reject`.
    """
    end_user: OrNone[EndUser] = None
    """Identifier of the person who uses a shared API key, at most 128 visible characters. Null or absent: not set."""
    metadata: FreeJson = Field(default_factory=dict)
    """Your data, stored with the run: a JSON object of at most 32,000 bytes. Default: empty."""

    def to_domain(self) -> TurnRequest:
        return TurnRequest(
            message=tuple(map(_to_domain, self.message)),
            session_id=self.session_id,
            agent_id=self.agent_id,
            provider=self.provider,
            model=self.model,
            limits=self.limits.to_domain(),
            on_busy=self.on_busy,
            end_user=self.end_user or "",
            metadata=self.metadata,
        )


class ChatAnswer(StrictModel):
    """The answer of an ended turn, with its usage."""

    session_id: str
    """Id of the turn's session."""
    run_id: str
    """Id of the run that records the turn."""
    message_id: str | None
    """Id of the last assistant message. Null if the turn was stopped before the model produced output."""
    response: str
    """Text of the answer."""
    model: str
    """Id of the model that answered."""
    routing: RoutingField = None
    """Why the model was chosen. Absent if the agent or the request has a fixed model."""
    stop_reason: StopReason | None
    """Why the turn ended, such as `end_turn`, `max_tokens`, `max_iterations`, `max_cost`, `max_seconds` or `cancelled`.
    Null if the reason is unknown.
    """
    iterations: int
    """Number of model calls of the turn."""
    degraded: bool
    """Whether the answer is from a fallback model or is the agent's fallback text."""
    usage: UsageAnswer
    """Usage and cost of the turn."""
    waiting_for: list[str]
    """Ids of the tool calls that need approval, if `stop_reason` is `approval_required`. Empty otherwise."""


class RunErrorAnswer(StrictModel):
    """The error of a failed run."""

    code: str
    """Error code. The page `/docs/errors/{code}` explains the code."""
    detail: str
    """Description of the error."""


class RunAnswer(StrictModel):
    """The record of a turn: its status, usage and error."""

    id: str
    """Id of the run."""
    status: RunStatus
    """Status of the run. `succeeded`, `failed` and `cancelled` are final."""
    session_id: str | None
    """Id of the run's session. Null for a call of a compatible endpoint that belongs to no session."""
    agent_id: str | None
    """Id of the run's agent. Null for a call of a compatible endpoint that names a model, not an agent."""
    provider: str
    """Provider of `model`."""
    model: str
    """Id of the model: the chosen one, and after the end of the run the one that answered."""
    routing: RoutingField = None
    """Why the model was chosen. Absent if the agent or the request has a fixed model."""
    stop_reason: StopReason | None
    """Why the run ended. Null if the run is open or failed."""
    iterations: int
    """Number of model calls. 0 until the run has ended."""
    degraded: bool
    """Whether the answer is from a fallback model or is the agent's fallback text."""
    usage: UsageAnswer
    """Usage and cost of the run so far."""
    waiting_for: list[str]
    """Ids of the tool calls that need approval, if `status` is `waiting_approval`. Empty otherwise."""
    error: RunErrorAnswer | None
    """Why the run failed. Null unless `status` is `failed`."""
    cancel_requested: bool
    """Whether a cancellation was requested."""
    end_user: str | None
    """Identifier of the person who uses a shared API key. Null if `end_user` was not sent."""
    metadata: dict[str, Any]
    """Your data, as sent with the chat request."""
    started_at: str
    """When the run started (RFC 3339, UTC)."""
    ended_at: str | None
    """When the run ended (RFC 3339, UTC). Null until the run has ended."""
    created_at: str
    """When the run was created (RFC 3339, UTC)."""
    updated_at: str
    """When the run was last changed (RFC 3339, UTC)."""


def render_routing(routing: Routing | None) -> RoutingAnswer | None:
    return RoutingAnswer(rule=routing.rule, reason=routing.reason) if routing else None


def render_chat(run: Run) -> ChatAnswer:
    """Return the chat response of an ended run."""
    outcome = run.outcome
    return ChatAnswer(
        session_id=run.session_id,
        run_id=run.id,
        message_id=answer_id(run.messages),
        response=answer_text(run.messages),
        model=run.model,
        routing=render_routing(run.routing),
        stop_reason=outcome.stop_reason if outcome else None,
        iterations=outcome.iterations if outcome else 0,
        degraded=outcome.degraded if outcome else False,
        usage=UsageAnswer(**usage_fields(run.spend)),
        waiting_for=list(run.waiting_for) if run.is_waiting else [],
    )


def render_run(run: Run) -> RunAnswer:
    """Return the response model of a run."""
    outcome = run.outcome
    started = format_time(run.started_at)
    ended = format_time(run.ended_at) if run.ended_at else None
    error = outcome.error if outcome else None
    return RunAnswer(
        id=run.id,
        status=run.status,
        session_id=run.own_session_id,
        agent_id=run.agent_id or None,
        provider=run.provider,
        model=run.model,
        routing=render_routing(run.routing),
        stop_reason=outcome.stop_reason if outcome else None,
        iterations=outcome.iterations if outcome else 0,
        degraded=outcome.degraded if outcome else False,
        usage=UsageAnswer(**usage_fields(run.spend)),
        waiting_for=list(run.waiting_for) if run.is_waiting else [],
        error=RunErrorAnswer(code=error.code, detail=error.detail) if error else None,
        cancel_requested=run.cancel_requested,
        end_user=run.end_user or None,
        metadata=dict(run.metadata),
        started_at=started,
        ended_at=ended,
        created_at=started,
        updated_at=ended or started,
    )
