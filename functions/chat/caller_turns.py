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
from atrium.llm.content import has_images
from atrium.llm.model import Block, ModelMessage, ToolResult, ToolUse
from atrium.quotas.model import LimitUsage
from atrium.runs.model import Run, RunEvent, answer_text, read_error
from atrium.tenants.context import TenantContext
from fastapi import Header
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from functions.chat import sse
from functions.chat.chat import EventEncoder, IdempotentTurn, TurnResponse, begin_turn, name_in_log
from functions.chat.vendor_errors import CONTEXT_OVERFLOW, VENDOR_LIMITS
from functions.chat.worker import TurnWorker

IMAGES_MAX = 20
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
    """Return the messages up to the last answer, and the content after it.

    With a session, the first part is empty, because the platform has the earlier messages. Raises `ValidationFailed` if
    there is no content after the last answer, or if tool calls and results do not fit.
    """
    begun = max((at + 1 for at, message in enumerate(messages) if message.role == "assistant"), default=0)
    question = tuple(block for message in messages[begun:] for block in message.content)
    if not question:
        raise invalid_field("messages", "must end with a message of the user or with results of tool calls")
    if sum(has_images(message.content) for message in messages) > IMAGES_MAX:
        raise invalid_field("messages", f"must have at most {IMAGES_MAX} messages with images")
    if session_id:
        return (), question
    _check_results(messages)
    return tuple(messages[:begun]), question


def _check_results(messages: Sequence[ModelMessage]) -> None:
    """Raise `ValidationFailed` if a tool call has no result before the next answer, or a result has no call."""
    asked: set[str] = set()
    for message in messages:
        found = {block.tool_use_id for block in message.content if isinstance(block, ToolResult)}
        if unknown := sorted(found - asked):
            raise invalid_field("messages", f"must have a tool call with the id {unknown[0]} before its result")
        asked -= found
        if message.role == "assistant":
            if asked:
                break
            asked = {block.id for block in message.content if isinstance(block, ToolUse)}
    if asked:
        raise invalid_field("messages", f"must have a result for the tool call {min(asked)}")


def require_answer(run: Run, headers: Mapping[str, str]) -> Run:
    """Return a run with an answer. Raise its error, or `ValidationFailed` if the conversation was too long.

    The error has the headers of the response.
    """
    outcome = run.outcome
    failure: AtriumError | None = None
    if outcome is None:
        failure = ModelFailed()
    elif outcome.error is not None:
        failure = outcome.error.to_failure(run.id)
    elif outcome.stop_reason == "context_overflow" and not answer_text(outcome.messages):
        failure = context_overflow(run.model)
    if failure is not None:
        raise with_headers(failure, headers)
    return run


def with_headers(failure: AtriumError, headers: Mapping[str, str]) -> AtriumError:
    """Return an error with the headers of the response that it replaces."""
    failure.headers = {**headers, **failure.headers}
    return failure


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
        _raise_early(saved, stored, REPLAYED)
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
    headers = headers_of(turn)
    try:
        _raise_early(turn.run, held, headers)
    except AtriumError:
        worker.leave()
        raise
    return TurnResponse(worker, _chained(held, events), encoder_of(turn.run), headers)


def _raise_early(run: Run, events: Sequence[RunEvent | None], headers: Mapping[str, str]) -> None:
    """Raise the error of a run whose first events are an error."""
    last = events[-1] if events else None
    if last is None or any(event is not None and event.type not in {*_BEFORE_ANSWER, *_ENDS} for event in events):
        return
    failure = stream_failure(run, last)
    if failure is not None:
        raise with_headers(failure, headers)


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
