"""`POST /v1/chat` and `POST /v1/chat/stream`: run one turn and return one response or a stream of events.

An `Idempotency-Key` is stored with the id of the run that the call started. A repeated call returns the result of this
run.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Protocol, Self

from atrium.agent.model import TurnRequest
from atrium.agent.turn import Turn
from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.http.context import read_call
from atrium.http.dependencies import RuntimeDep, TenantDep, get_runtime, require, require_own_tenant
from atrium.http.failures import render_failure
from atrium.http.guarding import is_admitted
from atrium.http.idempotency import REPLAYED, open_store, read_call_key, read_deadline_ms, read_key_header
from atrium.http.responses import problem_responses
from atrium.http.saved_answers import CallKey, IdempotencyStore, Mark, SavedRun
from atrium.http.turns import replay, run_store, turn_service
from atrium.kernel.errors import Conflict, IdempotencyInProgress, Unavailable
from atrium.kernel.ids import RunId
from atrium.quotas.responses import rate_limit_headers
from atrium.runs.approvals import paused
from atrium.runs.model import Run, RunEvent, read_error
from atrium.runs.service import without_deleted
from atrium.tenants.context import Caller, TenantContext
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from functions.chat import sse
from functions.chat.models import ChatAnswer, ChatBody, render_chat
from functions.chat.sse import EventWriterDep
from functions.chat.worker import TurnWorker

_OUR_SIDE = 500
router = APIRouter(tags=["chat"], dependencies=[require("chat"), Depends(read_key_header)])
# API Gateway closes a connection that is idle for 300 s. The remaining 20 s are for waiting, settlement and storing.
BUFFERED_SECONDS_MAX = 280
_REFUSALS = problem_responses(403, 404, 409, 429, 502, 504)


class IdempotentTurn:
    """A chat call with or without an idempotency key. Call `begin` first, then `attach` if `begin` returned no run."""

    def __init__(self, runtime: Runtime, call: TenantContext | Caller, key: CallKey | None, ends_at_ms: int) -> None:
        self._runtime = runtime
        self._call = call
        self._key = key
        self._ends_at_ms = ends_at_ms
        self._mark: Mark | None = None
        self.is_replay = False

    @classmethod
    async def read(cls, request: Request) -> Self:
        runtime = await get_runtime(request)
        return cls(runtime, read_call(request), await read_call_key(request), read_deadline_ms(request, runtime))

    def begin(self) -> Run | None:
        """Return the ended or waiting run of an earlier call with this key, or None if the call must be executed."""
        if self._key is None:
            return None
        found = self._store().begin(self._key, ends_at_ms=self._ends_at_ms)
        if isinstance(found, Mark):
            self._mark = found
            return None
        if not isinstance(found, SavedRun) or not isinstance(self._call, TenantContext):
            raise Conflict
        runs = run_store(self._runtime, self._call.tenant_id)
        run = runs.get(RunId(found.run_id))
        if run is None or not without_deleted(runs, [run]):
            raise Conflict("the run of this `Idempotency-Key` was deleted")
        if run.is_waiting:
            run = paused(runs, run, self._runtime.clock)
        if run.is_open:
            raise IdempotencyInProgress(retry_after_seconds=1)
        if _may_be_retried(run) and self._retake(found):
            return None
        self.is_replay = True
        return run

    def _retake(self, saved: SavedRun) -> bool:
        """Reserve the key again after its run failed. Return False if another call reserved the key first."""
        if self._key is None:
            return False
        taken = self._store().begin(self._key, ends_at_ms=self._ends_at_ms, instead_of=saved)
        self._mark = taken if isinstance(taken, Mark) else None
        return self._mark is not None

    def attach(self, open_turn: Callable[[], Turn]) -> Turn:
        """Open the turn and store its run id with the key. If the turn cannot be opened, release the key.

        If the key cannot be updated, this failure is only logged, and the reservation of the key expires.
        """
        try:
            turn = open_turn()
        except Exception:
            self._settle(lambda store, mark: store.abandon(mark))
            raise
        self._settle(lambda store, mark: store.complete(mark, SavedRun(turn.run.id)))
        return turn

    def _settle(self, settle: Callable[[IdempotencyStore, Mark], bool]) -> None:
        if self._mark is None:
            return
        try:
            settle(self._store(), self._mark)
        except Unavailable as error:
            logs.logger().warning("idempotency key not settled", internal=error.internal)

    def _store(self) -> IdempotencyStore:
        return open_store(self._runtime, self._call)


def _may_be_retried(run: Run) -> bool:
    """Return whether a repeated call starts a new run: only if the run failed with a retryable or a 5xx error.

    A 5xx error that is not retryable is included, because an operator may have fixed its cause.
    """
    failure = run.outcome.error.to_failure(run.id) if run.outcome and run.outcome.error else None
    return failure is not None and (failure.retryable or failure.status >= _OUR_SIDE)


Attempt = Annotated[IdempotentTurn, Depends(IdempotentTurn.read)]


@router.post("/v1/chat", responses=_REFUSALS, response_model=ChatAnswer)
@is_admitted
async def chat(
    body: ChatBody, request: Request, response: Response, tenant: TenantDep, runtime: RuntimeDep, attempt: Attempt
) -> ChatAnswer | Response:
    """Send a message.

    Runs one turn and returns the response when the turn has ended, after at most 280 seconds. The turn continues if the
    client disconnects. Limits are checked before the model is called (429).
    """
    require_own_tenant(tenant, body.tenant_id)
    run, headers = await run_in_threadpool(answer_turn, body.to_domain(), tenant, runtime, attempt)
    if run.outcome is not None and run.outcome.error is not None:
        return render_failure(request, run.outcome.error.to_failure(run.id), headers)
    response.headers.update(headers)
    return render_chat(run)


def limit_headers(turn: Turn) -> dict[str, str]:
    """Return the rate limit headers with the values at the turn's admission."""
    return rate_limit_headers(turn.started.admitted, turn.run.started_at.timestamp())


def answer_turn(
    asked: TurnRequest,
    tenant: TenantContext,
    runtime: Runtime,
    attempt: IdempotentTurn,
    headers_of: Callable[[Turn], Mapping[str, str]] = limit_headers,
) -> tuple[Run, Mapping[str, str]]:
    """Run a turn, or find the run of an earlier call. Return the run and the headers of the response."""
    saved = attempt.begin()
    if saved is not None:
        return saved, REPLAYED
    turn = begin_turn(asked, tenant, runtime, attempt, BUFFERED_SECONDS_MAX)
    name_in_log(turn)
    for event in turn.events():
        last = event
    logs.record_run(turn.ended)
    if turn.ended is None:
        raise read_error(last)
    return turn.ended, headers_of(turn)


def begin_turn(
    asked: TurnRequest,
    tenant: TenantContext,
    runtime: Runtime,
    attempt: IdempotentTurn,
    seconds_max: int | None = None,
) -> Turn:
    """Begin the turn of a call that was not executed before."""
    return attempt.attach(lambda: turn_service(runtime, tenant, seconds_max).begin(asked))


def name_in_log(turn: Turn) -> None:
    """Add the ids of a turn to the following log lines of this thread or task."""
    logs.bind(session_id=turn.run.own_session_id or "", run_id=turn.run.id)


@router.post("/v1/chat/stream", responses={**_REFUSALS, **sse.DOCUMENTATION}, response_class=StreamingResponse)
@is_admitted
async def stream_chat(
    body: ChatBody, tenant: TenantDep, runtime: RuntimeDep, writer: EventWriterDep, attempt: Attempt
) -> StreamingResponse:
    """Send a message and stream the answer.

    Runs one turn and sends its events when they occur. Errors before the event `start` are ordinary error responses.
    The turn continues if the client disconnects. `GET /v1/runs/{run_id}/events` continues the stream.
    """
    require_own_tenant(tenant, body.tenant_id)
    saved = await run_in_threadpool(attempt.begin)
    if saved is not None:
        events = replay(runtime, tenant.tenant_id, saved.id, after=0)
        stored = await run_in_threadpool(lambda: [writer.encode(event) for event in events.read()])
        return StreamingResponse(iter(stored), media_type=sse.MEDIA_TYPE, headers={**sse.HEADERS, **REPLAYED})
    turn = await run_in_threadpool(begin_turn, body.to_domain(), tenant, runtime, attempt)
    name_in_log(turn)
    worker = TurnWorker(turn)
    return TurnResponse(worker, worker.events(sse.KEEP_ALIVE_SECONDS), writer, limit_headers(turn))


class EventEncoder(Protocol):
    """Encodes the events of one run, in their order, as a stream."""

    def encode(self, event: RunEvent | None) -> bytes:
        """Return the bytes for an event or, if it is None, for a pause of 15 seconds."""
        ...


class TurnResponse(StreamingResponse):
    """A stream of a turn's events. The worker stops sending events when the client disconnects."""

    def __init__(
        self,
        worker: TurnWorker,
        events: AsyncIterator[RunEvent | None],
        encoder: EventEncoder,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(_encode(events, encoder), media_type=sse.MEDIA_TYPE, headers={**sse.HEADERS, **headers})
        self._worker = worker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._worker.leave()


async def _encode(events: AsyncIterator[RunEvent | None], encoder: EventEncoder) -> AsyncIterator[bytes]:
    async for event in events:
        yield encoder.encode(event)
