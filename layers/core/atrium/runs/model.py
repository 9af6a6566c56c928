"""The run model: messages, spend, outcome and events. The agent loop yields `LoopEvent`s; a `RunEvent` has a number.

A run starts with the user's message and a lease. One conditional write, by the worker or by the sweeper, ends the run
and stores all its results. No later write can change the outcome. The events `start`, `usage`, `final` and `error` are
derived from the run's record, both live and in a replay.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from secrets import token_hex
from typing import Any, Literal, assert_never

from atrium.kernel.clock import epoch_seconds
from atrium.kernel.errors import AtriumError, kind_of
from atrium.kernel.ids import AgentId, MessageId, RunId, SessionId, is_stateless, session_of
from atrium.llm.catalogue import find_model, format_cost
from atrium.llm.model import Block, Text, ToolUse, Usage
from atrium.quotas.model import Estimate, Reservation
from atrium.tools.registry import ToolAnswer

type RunStatus = Literal["queued", "running", "waiting_approval", "succeeded", "failed", "cancelled"]
type MessageRole = Literal["user", "assistant", "tool"]
type BudgetStop = Literal["max_iterations", "max_cost", "max_run_tokens"]

RUN_LEASE_SECONDS = 45
RENEW_SECONDS = 15
CANCEL_POLL_SECONDS = 4
STEP_SEPARATOR = "\n\n"
"""The separator between the texts of the model calls of one answer."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a session. With the role `tool`, it has the results of the preceding tool calls."""

    id: MessageId
    role: MessageRole
    content: tuple[Block, ...]
    created_at: datetime

    @property
    def text(self) -> str:
        return "".join(block.text for block in self.content if isinstance(block, Text))


@dataclass(frozen=True, slots=True)
class Spend:
    """The usage of a run so far: tokens, tool calls by tool, and cost in nano-dollars."""

    tokens: Usage = field(default_factory=Usage)
    tool_calls: Mapping[str, int] = field(default_factory=dict)
    cost_nanos: int = 0

    @property
    def total_tokens(self) -> int:
        """Return the number of tokens that limits count: prompt tokens, cached or not, and output tokens."""
        return self.tokens.prompt_tokens + self.tokens.output_tokens

    @property
    def tool_call_count(self) -> int:
        return sum(self.tool_calls.values())

    def with_calls(self, counts: Mapping[str, int]) -> "Spend":
        """Return this usage with more tool calls, counted by tool."""
        return replace(self, tool_calls=dict(Counter(self.tool_calls) + Counter(counts)))


@dataclass(frozen=True, slots=True)
class RunBudget:
    """The limits of one run; None means no limit. `max_tokens` counts prompts (cached tokens included) and answers."""

    max_iterations: int
    max_seconds: int
    max_cost_nanos: int | None = None
    max_tokens: int | None = None

    def fit(self, estimate: Estimate, spend: Spend) -> Estimate | BudgetStop:
        """Return the estimate with the longest answer that fits the budget, or the reason why none fits."""
        tokens_left = None if self.max_tokens is None else self.max_tokens - spend.total_tokens
        cost_left = None if self.max_cost_nanos is None else self.max_cost_nanos - spend.cost_nanos
        if estimate.fitted(tokens_left, None) is None:
            return "max_run_tokens"
        return estimate.fitted(tokens_left, cost_left) or "max_cost"


@dataclass(frozen=True, slots=True)
class RunError:
    """The error of a failed run: its public code and detail.

    If `retryable` is None, the default of the code applies. `retry_after_seconds` is counted from the end of the run.
    """

    code: str
    detail: str
    retryable: bool | None = None
    retry_after_seconds: int | None = None

    @classmethod
    def of(cls, failure: AtriumError) -> "RunError":
        is_default = failure.retryable == type(failure).retryable
        retryable = None if is_default else failure.retryable
        return cls(failure.code, failure.detail, retryable, failure.retry_after_seconds)

    def to_failure(self, run_id: str) -> AtriumError:
        """Return the error that is sent to the caller, with the run's id."""
        wait = {} if self.retry_after_seconds is None else {"retry_after_seconds": self.retry_after_seconds}
        return kind_of(self.code)(
            self.detail,
            retryable=self.retryable,
            retry_after_seconds=self.retry_after_seconds,
            extensions={"run_id": run_id, **wait},
        )


@dataclass(frozen=True, slots=True)
class RunEvent:
    """An event of a run in the format of the API. `sequence` starts at 1 and has no gaps."""

    sequence: int
    type: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TextEvent:
    text: str


@dataclass(frozen=True, slots=True)
class ThinkingEvent:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallEvent:
    call: ToolUse


@dataclass(frozen=True, slots=True)
class ToolResultEvent:
    call: ToolUse
    answer: ToolAnswer


@dataclass(frozen=True, slots=True)
class ApprovalRequiredEvent:
    call: ToolUse


type LoopEvent = TextEvent | ThinkingEvent | ToolCallEvent | ToolResultEvent | ApprovalRequiredEvent


@dataclass(slots=True)
class Sequencer:
    """Numbers the events of the loop, starting at `after` + 1."""

    after: int

    @property
    def last(self) -> int:
        return self.after

    def number(self, piece: LoopEvent) -> RunEvent:
        self.after += 1
        kind, data = _describe(piece)
        return RunEvent(self.after, kind, data)


def _describe(piece: LoopEvent) -> tuple[str, dict[str, Any]]:
    match piece:
        case TextEvent(text):
            return "text", {"content": text}
        case ThinkingEvent(text):
            return "thinking", {"content": text}
        case ToolCallEvent(call):
            return "tool_call", {"tool_call_id": call.id, "tool": call.name, "args": dict(call.input)}
        case ApprovalRequiredEvent(call):
            return "approval_required", {"tool_call_id": call.id, "tool": call.name, "args": dict(call.input)}
        case ToolResultEvent(call, answer):
            return "tool_result", {
                "tool_call_id": call.id,
                "tool": call.name,
                "result": answer.content,
                "is_error": answer.is_error,
            }
        case _:
            assert_never(piece)


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary of a session's older messages, written by a model.

    It covers all runs whose ULID is at most `through`, and the first `partial` messages after the question of the next
    answered run.
    """

    text: str
    through: str = ""
    partial: int = 0


@dataclass(frozen=True, slots=True)
class Routing:
    """The name of the routing rule that chose the model of a run, and the reason in one sentence."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an ended run. `tail` contains the events that are not stored in a batch.

    `swept` means that the run was taken over because its worker failed. The client may then have received events that
    were not stored. `mark` identifies an outcome, so that a repeated commit can be recognised.
    `summary` is the last summary that the run made. `stop_sequence` is the text that ended the answer, if the caller
    set one.
    """

    status: RunStatus
    stop_reason: str | None
    spend: Spend
    messages: tuple[Message, ...] = ()
    tail: tuple[RunEvent, ...] = ()
    last_sequence: int = 1
    iterations: int = 0
    error: RunError | None = None
    degraded: bool = False
    model: str = ""
    swept: bool = False
    summary: Summary | None = None
    stop_sequence: str | None = None
    mark: str = field(default_factory=lambda: token_hex(8))

    @property
    def provider(self) -> str:
        """Return the provider of the model that answered, or "" if it is unknown."""
        model = find_model(self.model)
        return model.vendor if model else ""


@dataclass(frozen=True, slots=True)
class Run:
    """The record of a turn. `owner` is the principal that started it; `outcome` is None while the run is open.

    `reservation` is the reservation made at the admission. The slots in the admission items may be newer.
    `epoch` is the number of times that the run was taken over, and `resumed_after` has the number of the last event
    that was stored before each of these workers resumed it. A run that waits for approval, until `lease_until`, has
    the ids of the tool calls in `waiting_for`. `routing` is None if the model was fixed. `own_keys` are the model
    providers that the run calls with the tenant's own API key. `agent_id` is empty if no agent took part.
    """

    id: RunId
    owner: str
    agent_id: AgentId
    provider: str
    model: str
    status: RunStatus
    question: Message
    started_at: datetime
    lease_until: datetime | None = None
    ended_at: datetime | None = None
    cancel_requested: bool = False
    end_user: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    spend: Spend = field(default_factory=Spend)
    outcome: Outcome | None = None
    reservation: Reservation | None = None
    epoch: int = 0
    waiting_for: tuple[str, ...] = ()
    resumed_after: Mapping[str, int] = field(default_factory=dict)
    routing: Routing | None = None
    own_keys: frozenset[str] = frozenset()

    def has_own_key(self, model_id: str) -> bool:
        """Return whether the run calls a model with the tenant's own API key."""
        model = find_model(model_id)
        return model is not None and model.vendor in self.own_keys

    @property
    def session_id(self) -> SessionId:
        return session_of(self.id)

    @property
    def own_session_id(self) -> SessionId | None:
        """Return the id of the run's session, or None if the run belongs to no session."""
        return None if is_stateless(self.id) else self.session_id

    @property
    def is_open(self) -> bool:
        return self.outcome is None

    @property
    def is_waiting(self) -> bool:
        return self.status == "waiting_approval"

    @property
    def messages(self) -> tuple[Message, ...]:
        """Return the question and the messages of the outcome, oldest first."""
        return (self.question, *(self.outcome.messages if self.outcome else ()))

    def lease_is_over(self, now: datetime) -> bool:
        """Return whether the lease has expired. Times are compared in whole seconds, as stored."""
        return self.lease_until is not None and epoch_seconds(self.lease_until) < epoch_seconds(now)

    def ended(self, outcome: Outcome, at: datetime) -> "Run":
        """Return a copy of this run with an outcome."""
        return replace(
            self,
            status=outcome.status,
            provider=outcome.provider or self.provider,
            model=outcome.model or self.model,
            outcome=outcome,
            spend=outcome.spend,
            ended_at=at,
            lease_until=None,
        )


def start_event(run: Run) -> RunEvent:
    routing = {"routing": asdict(run.routing)} if run.routing else {}
    return RunEvent(1, "start", {"session_id": run.own_session_id, "run_id": run.id, "model": run.model, **routing})


def error_event(run_id: RunId, sequence: int, error: AtriumError | RunError) -> RunEvent:
    """Return the `error` event that ends the stream of a failed run. `read_error` parses this event."""
    shown = error if isinstance(error, RunError) else RunError.of(error)
    fields = {name: value for name, value in asdict(shown).items() if value is not None}
    return RunEvent(sequence, "error", {"run_id": run_id, **fields})


def read_error(event: RunEvent) -> AtriumError:
    """Return the error that an `error` event contains."""
    fields = dict(event.data)
    run_id = fields.pop("run_id")
    return RunError(**fields).to_failure(run_id)


def closing_events(run_id: RunId, outcome: Outcome, *, after: int) -> Iterator[RunEvent]:
    """Yield the last events of an ended run: `usage` and `final`, or `error`, numbered from `after` + 1."""
    if outcome.error is not None:
        yield error_event(run_id, after + 1, outcome.error)
        return
    yield RunEvent(after + 1, "usage", usage_fields(outcome.spend))
    yield RunEvent(
        after + 2,
        "final",
        {
            "message_id": answer_id(outcome.messages),
            "content": answer_text(outcome.messages),
            "stop_reason": outcome.stop_reason,
            "degraded": outcome.degraded,
            **({"stop_sequence": outcome.stop_sequence} if outcome.stop_sequence is not None else {}),
        },
    )


def usage_fields(spend: Spend) -> dict[str, Any]:
    """Return the API's `usage` object. Money has six decimals; `estimated` is present only if it is true."""
    tokens = spend.tokens
    return {
        "input_tokens": tokens.input_tokens,
        "output_tokens": tokens.output_tokens,
        "cache_read_tokens": tokens.cache_read_tokens,
        "cache_write_tokens": tokens.cache_write_tokens,
        "tool_calls": spend.tool_call_count,
        "cost_usd": format_cost(spend.cost_nanos),
        **({"estimated": True} if tokens.estimated else {}),
    }


def answer_id(messages: Sequence[Message]) -> str | None:
    """Return the id of the assistant's last message, or None if there is no such message."""
    answers = [message.id for message in messages if message.role == "assistant"]
    return answers[-1] if answers else None


def answer_text(messages: Sequence[Message]) -> str:
    """Return the whole text of the answer, as it was streamed. An empty line separates the texts of model calls."""
    texts = (message.text for message in messages if message.role == "assistant")
    return STEP_SEPARATOR.join(text for text in texts if text)
