"""Bodies of chat and runs, in the field names of the contract."""

import operator
from typing import Annotated, Any, Literal

from atrium.agent.model import MAX_SECONDS_DEFAULT, MESSAGE_CHARACTERS_MAX, RunLimits, TurnRequest
from atrium.http.fields import EndUser, OrNone
from atrium.http.models import FreeJson, Money, StrictModel
from atrium.kernel.clock import format_time
from atrium.kernel.errors import named_pattern
from atrium.llm.catalogue import to_nanos
from atrium.runs.model import Run, RunStatus, answer_id, answer_text, usage_fields
from pydantic import Field

_TOKENS_MAX = 10_000_000


class LimitsBody(StrictModel):
    """Bounds of this run alone; money is a decimal string in USD."""

    max_cost_usd: Annotated[Money, Field(gt=0, le=1_000_000, decimal_places=6)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=_TOKENS_MAX)] | None = None
    max_iterations: Annotated[int, Field(ge=1, le=100)] | None = None
    max_seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS_DEFAULT)] | None = None

    def to_domain(self) -> RunLimits:
        cost = None if self.max_cost_usd is None else to_nanos(self.max_cost_usd)
        return RunLimits(cost, self.max_tokens, self.max_iterations, self.max_seconds)


class ChatBody(StrictModel):
    """One user message, not blank. Without `session_id` a new session is made."""

    message: Annotated[
        str, Field(min_length=1, max_length=MESSAGE_CHARACTERS_MAX, pattern=named_pattern(r"\S", "must not be blank"))
    ]
    session_id: Annotated[str, Field(max_length=64)] | None = None
    agent_id: Annotated[str, Field(max_length=64)] | None = None
    provider: OrNone[Annotated[str, Field(max_length=64)]] = None
    model: OrNone[Annotated[str, Field(max_length=128)]] = None
    tenant_id: Annotated[str, Field(max_length=64)] | None = None
    limits: LimitsBody = LimitsBody()
    on_busy: Literal["reject", "queue", "interrupt"] = "reject"
    end_user: OrNone[EndUser] = None
    metadata: FreeJson = Field(default_factory=dict)

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


class UsageAnswer(StrictModel):
    """What a run used; money in USD to six decimals. `estimated` is there where the provider left a figure out."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    tool_calls: int
    cost_usd: str
    estimated: Annotated[bool, Field(exclude_if=operator.not_)] = False


class ChatAnswer(StrictModel):
    """A whole answer. `message_id` is null where the model said nothing before it was stopped."""

    session_id: str
    run_id: str
    message_id: str | None
    response: str
    stop_reason: str | None
    iterations: int
    degraded: bool
    usage: UsageAnswer


class RunErrorAnswer(StrictModel):
    code: str
    detail: str


class RunAnswer(StrictModel):
    """A recorded turn."""

    id: str
    status: RunStatus
    session_id: str
    agent_id: str
    provider: str
    model: str
    stop_reason: str | None
    iterations: int
    degraded: bool
    usage: UsageAnswer
    error: RunErrorAnswer | None
    cancel_requested: bool
    end_user: str | None
    metadata: dict[str, Any]
    started_at: str
    ended_at: str | None
    created_at: str
    updated_at: str


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
