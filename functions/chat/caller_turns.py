"""What the endpoints in the formats of OpenAI and Anthropic have in common: the request of a turn, and its response."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from atrium.agent.model import AUTO_MODEL, TurnRequest
from atrium.agent.turn import Turn
from atrium.bootstrap import Runtime
from atrium.http.idempotency import REPLAYED
from atrium.http.turns import replay
from atrium.kernel.errors import AtriumError, ModelFailed, ValidationFailed, invalid_field
from atrium.kernel.ids import is_id
from atrium.llm.catalogue import find_model
from atrium.llm.model import Block, ModelMessage
from atrium.quotas.model import LimitUsage
from atrium.runs.model import Run, RunEvent, read_error
from atrium.tenants.context import TenantContext
from fastapi import Header
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from functions.chat import sse
from functions.chat.chat import EventEncoder, IdempotentTurn, TurnResponse, begin_turn, name_in_log
from functions.chat.vendor_errors import CONTEXT_OVERFLOW, VENDOR_LIMITS
from functions.chat.worker import TurnWorker

_BEFORE_ANSWER, _ENDS = ("start", "usage"), ("final", "error")

SessionHeader = Annotated[
    str | None,
    Header(
        alias="X-Session-ID",
        max_length=64,
        description="Id of a session. The call is then a turn of this session. Default: the call belongs to no session",
    ),
]


def address(model: str) -> dict[str, Any]:
    """Return the fields of a `TurnRequest` for the value of `model`: a model, or the id or name of an agent."""
    if model == AUTO_MODEL or find_model(model) is not None:
        return {"model": model}
    return {"agent_id": model} if is_id(model, "agt") else {"agent_name": model}


def split_dialog(
    messages: Sequence[ModelMessage], session_id: str | None
) -> tuple[tuple[ModelMessage, ...], tuple[Block, ...]]:
    """Return the messages up to the last answer, and the content after it. For a session, there are no earlier ones.

    Raises `ValidationFailed` if there is no content after the last answer.
    """
    begun = max((at + 1 for at, message in enumerate(messages) if message.role == "assistant"), default=0)
    question = tuple(block for message in messages[begun:] for block in message.content)
    if not question:
        raise invalid_field("messages", "must end with a message of the user or with results of tool calls")
    return () if session_id else tuple(messages[:begun]), question


def require_answer(run: Run) -> Run:
    """Return a run with an answer. Raise its error, or `ValidationFailed` if the conversation was too long."""
    if run.outcome is None:
        raise ModelFailed
    if run.outcome.error is not None:
        raise run.outcome.error.to_failure(run.id)
    if run.outcome.stop_reason == "context_overflow" and not run.outcome.messages:
        raise context_overflow(run.model)
    return run


def context_overflow(model: str) -> ValidationFailed:
    text = f"must be shorter: the conversation does not fit the context window of the model {model}"
    fault = {"loc": ["body", "messages"], "msg": text, "type": CONTEXT_OVERFLOW}
    return ValidationFailed(extensions={"errors": [fault]})


def limit_figures(turn: Turn) -> Iterator[tuple[str, LimitUsage]]:
    """Yield the vendors' name and the usage of the limits that they know. Of several scopes, the tightest is shown."""
    for limit, name in VENDOR_LIMITS.items():
        usages = [each for each in turn.started.admitted.usages if each.limit == limit and each.resets_at is not None]
        if usages:
            yield name, min(usages, key=lambda each: each.max - each.used)


async def stream_call(
    asked: TurnRequest,
    tenant: TenantContext,
    runtime: Runtime,
    attempt: IdempotentTurn,
    encoder_of: Callable[[Run], EventEncoder],
    headers_of: Callable[[Turn], Mapping[str, str]],
) -> StreamingResponse:
    """Run a turn and return the stream of its answer. Raise an error that occurs before the answer begins.

    Like the vendors' responses, the response therefore has an error status if the first model call fails.
    """
    saved = await run_in_threadpool(attempt.begin)
    if saved is not None:
        stored = await run_in_threadpool(lambda: list(replay(runtime, tenant.tenant_id, saved.id, after=0).read()))
        _raise_early(saved, stored)
        encoded = map(encoder_of(saved).encode, stored)
        return StreamingResponse(encoded, media_type=sse.MEDIA_TYPE, headers={**sse.HEADERS, **REPLAYED})
    turn = await run_in_threadpool(begin_turn, asked, tenant, runtime, attempt)
    name_in_log(turn)
    worker = TurnWorker(turn)
    events, held = worker.events(sse.KEEP_ALIVE_SECONDS), list[RunEvent | None]()
    async for event in events:
        held.append(event)
        if event is None or event.type not in _BEFORE_ANSWER:
            break
    try:
        _raise_early(turn.run, held)
    except AtriumError:
        worker.leave()
        raise
    return TurnResponse(worker, _chained(held, events), encoder_of(turn.run), headers_of(turn))


def _raise_early(run: Run, events: Sequence[RunEvent | None]) -> None:
    """Raise the error of a run whose first events are an error."""
    last = events[-1] if events else None
    if last is None or any(event is not None and event.type not in {*_BEFORE_ANSWER, *_ENDS} for event in events):
        return
    failure = stream_failure(run, last)
    if failure is not None:
        raise failure


def stream_failure(run: Run, event: RunEvent) -> AtriumError | None:
    """Return the error of a stream's last event. A run without an answer, because of a long conversation, is one."""
    if event.type == "error":
        return read_error(event)
    is_overflow = event.type == "final" and event.data["stop_reason"] == "context_overflow"
    return context_overflow(run.model) if is_overflow and not event.data["content"] else None


async def _chained(
    held: Sequence[RunEvent | None], events: AsyncIterator[RunEvent | None]
) -> AsyncIterator[RunEvent | None]:
    for event in held:
        yield event
    async for event in events:
        yield event
