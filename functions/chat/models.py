"""Bodies of chat and runs, in the field names of the contract."""

from typing import Annotated, Any, Literal

from atrium.agent.model import MAX_SECONDS_DEFAULT, MESSAGE_CHARACTERS_MAX, RunLimits, TurnRequest
from atrium.http.fields import EndUser, OrNone
from atrium.http.models import FreeJson, Money, StrictModel
from atrium.kernel.clock import format_time
from atrium.kernel.errors import named_pattern
from atrium.llm.catalogue import to_nanos
from atrium.runs.model import Run, RunStatus, answer_id, answer_text, usage_fields
from pydantic import Field

from functions.chat.events import StopReason, UsageAnswer

_TOKENS_MAX = 10_000_000


class LimitsBody(StrictModel):
    """Bounds of this run alone; money is a decimal string in USD."""

    max_cost_usd: Annotated[Money, Field(gt=0, le=1_000_000, decimal_places=6)] | None = None
    """Cost of the run at most, in USD as decimal text above 0, at most 1,000,000. Null or absent: no bound of its
    own.
    """
    max_tokens: Annotated[int, Field(ge=1, le=_TOKENS_MAX)] | None = None
    """Input and output tokens of the run at most, 1 to 10,000,000. Null or absent: no bound of its own."""
    max_iterations: Annotated[int, Field(ge=1, le=100)] | None = None
    """Model calls of the run at most, 1 to 100. Null or absent: the agent's."""
    max_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS_DEFAULT)] | None = None
    """Duration of the run at most, 1 to 280 seconds. Null or absent: 280."""

    def to_domain(self) -> RunLimits:
        cost = None if self.max_cost_usd is None else to_nanos(self.max_cost_usd)
        return RunLimits(cost, self.max_tokens, self.max_iterations, self.max_seconds)


class ChatBody(StrictModel):
    """One user message, not blank. Without `session_id` a new session is made."""

    message: Annotated[
        str, Field(min_length=1, max_length=MESSAGE_CHARACTERS_MAX, pattern=named_pattern(r"\S", "must not be blank"))
    ]
    """The user's message, not only white space. At most 10,000 characters on the plan free, up to 100,000 on
    enterprise.
    """
    session_id: Annotated[str, Field(max_length=64)] | None = None
    """Session to continue. Null or absent: a new session is created."""
    agent_id: Annotated[str, Field(max_length=64)] | None = None
    """Agent that answers. Null or absent: the session's agent, else the tenant's default."""
    provider: OrNone[Annotated[str, Field(max_length=64)]] = None
    """Model provider, as `anthropic`. Null or absent: the agent's, or that of `model`."""
    model: OrNone[Annotated[str, Field(max_length=128)]] = None
    """Model that answers, at most 128 characters. The plan must include it. Null or absent: the agent's."""
    tenant_id: Annotated[str, Field(max_length=64)] | None = None
    """Must be the credential's own tenant. Null or absent: the credential's tenant."""
    limits: LimitsBody = LimitsBody()
    """Bounds of this run alone. Default: those of the agent and the platform."""
    on_busy: Literal["reject", "queue", "interrupt"] = "reject"
    """What to do if a turn already runs in the session: refuse with 409, wait for it, or cancel it. Default
    `reject`.
    """
    end_user: OrNone[EndUser] = None
    """The person behind a shared key, at most 128 visible characters. Null or absent: none."""
    metadata: FreeJson = Field(default_factory=dict)
    """Your own data, stored with the run: a JSON object of at most 32,000 bytes. Default empty."""

    def to_domain(self) -> TurnRequest:
        return TurnRequest(
            message=self.message,
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
    """A whole answer. `message_id` is null where the model said nothing before it was stopped."""

    session_id: str
    """Session of the turn."""
    run_id: str
    """Run that recorded the turn."""
    message_id: str | None
    """Id of the assistant's last message. Null if the model wrote nothing before it was stopped."""
    response: str
    """Text of the answer."""
    stop_reason: StopReason | None
    """Why the turn ended, as `end_turn`, `max_tokens`, `max_iterations`, `max_cost`, `max_seconds` or `cancelled`.
    Null if unknown.
    """
    iterations: int
    """How many model calls the turn made."""
    degraded: bool
    """Whether a fallback model or the fallback text of the agent answered."""
    usage: UsageAnswer
    """What the turn used and cost."""


class RunErrorAnswer(StrictModel):
    code: str
    """Error code; `/docs/errors/{code}` explains it."""
    detail: str
    """What went wrong."""


class RunAnswer(StrictModel):
    """A recorded turn."""

    id: str
    """Id of the run."""
    status: RunStatus
    """State of the run. `succeeded`, `failed` and `cancelled` are final."""
    session_id: str
    """Session of the run."""
    agent_id: str
    """Agent that answers."""
    provider: str
    """Model provider."""
    model: str
    """Model id."""
    stop_reason: StopReason | None
    """Why the run ended. Null while it is open, or if it failed."""
    iterations: int
    """How many model calls it made. 0 while it is open."""
    degraded: bool
    """Whether a fallback model or the fallback text of the agent answered."""
    usage: UsageAnswer
    """What the run has used and cost so far."""
    error: RunErrorAnswer | None
    """Why it failed. Null unless `status` is `failed`."""
    cancel_requested: bool
    """Whether a cancellation was requested."""
    end_user: str | None
    """The person behind a shared key. Null if none was named."""
    metadata: dict[str, Any]
    """Your own data, as sent with the chat request."""
    started_at: str
    """When it started (RFC 3339, UTC)."""
    ended_at: str | None
    """When it ended (RFC 3339, UTC). Null while it is open."""
    created_at: str
    """When it was created (RFC 3339, UTC)."""
    updated_at: str
    """When it was last changed (RFC 3339, UTC)."""


def render_chat(run: Run) -> ChatAnswer:
    """Return the answer of an ended run."""
    outcome = run.outcome
    return ChatAnswer(
        session_id=run.session_id,
        run_id=run.id,
        message_id=answer_id(run.messages),
        response=answer_text(run.messages),
        stop_reason=outcome.stop_reason if outcome else None,
        iterations=outcome.iterations if outcome else 0,
        degraded=outcome.degraded if outcome else False,
        usage=UsageAnswer(**usage_fields(run.spend)),
    )


def render_run(run: Run) -> RunAnswer:
    """Return a run as it is now."""
    outcome = run.outcome
    started = format_time(run.started_at)
    ended = format_time(run.ended_at) if run.ended_at else None
    error = outcome.error if outcome else None
    return RunAnswer(
        id=run.id,
        status=run.status,
        session_id=run.session_id,
        agent_id=run.agent_id,
        provider=run.provider,
        model=run.model,
        stop_reason=outcome.stop_reason if outcome else None,
        iterations=outcome.iterations if outcome else 0,
        degraded=outcome.degraded if outcome else False,
        usage=UsageAnswer(**usage_fields(run.spend)),
        error=RunErrorAnswer(code=error.code, detail=error.detail) if error else None,
        cancel_requested=run.cancel_requested,
        end_user=run.end_user or None,
        metadata=dict(run.metadata),
        started_at=started,
        ended_at=ended,
        created_at=started,
        updated_at=ended or started,
    )
