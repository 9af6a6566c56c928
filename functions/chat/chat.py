"""`POST /v1/chat` and `POST /v1/chat/stream`: one turn, as one answer or as it comes."""

from collections.abc import AsyncIterator
from typing import Annotated

from atrium.bootstrap import Runtime
from atrium.http.dependencies import EnvelopeDep, RuntimeDep, TenantDep, require, require_own_tenant
from atrium.http.idempotency import read_key_header
from atrium.http.responses import problem_responses
from atrium.kernel.errors import RunInterrupted, failure_of
from atrium.runs.model import Run, RunEvent
from atrium.tenants.context import TenantContext
from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from functions.chat import sse
from functions.chat.attempt import RunAttempt
from functions.chat.models import ChatAnswer, ChatBody, render_chat
from functions.chat.services import replay, run_store, turn_service
from functions.chat.worker import TurnWorker

router = APIRouter(tags=["chat"], dependencies=[require("chat"), Depends(read_key_header)])
_REFUSALS = problem_responses(403, 404, 409, 502, 504)

Attempt = Annotated[RunAttempt, Depends(RunAttempt.read)]


@router.post("/v1/chat", responses=_REFUSALS)
async def chat(
    body: ChatBody, response: Response, tenant: TenantDep, runtime: RuntimeDep, attempt: Attempt
) -> ChatAnswer:
    """Answer one message. The turn goes on to its end even if the client leaves."""
    require_own_tenant(tenant, body.tenant_id)
    run = await run_in_threadpool(_answer, body, tenant, runtime, attempt)
    if attempt.is_replay:
        response.headers["Idempotency-Replayed"] = "true"
    if run.outcome is not None and run.outcome.error is not None:
        raise failure_of(run.outcome.error.code, run.outcome.error.detail)
    return render_chat(run)


def _answer(body: ChatBody, tenant: TenantContext, runtime: Runtime, attempt: RunAttempt) -> Run:
    saved = attempt.begin()
    if saved is not None:
        return saved
    turn = attempt.attach(lambda: turn_service(runtime, tenant).begin(body.to_domain()))
    for _ in turn.events():
        pass
    run = run_store(runtime, tenant.tenant_id).get(turn.run.id)
    if run is None:
        raise RunInterrupted("the session was deleted while its turn ran")
    return run


@router.post(
    "/v1/chat/stream",
    responses={**_REFUSALS, 200: {"content": {sse.MEDIA_TYPE: {"schema": {"type": "string"}}}}},
    response_class=StreamingResponse,
)
async def stream_chat(
    body: ChatBody, tenant: TenantDep, runtime: RuntimeDep, envelope: EnvelopeDep, attempt: Attempt
) -> StreamingResponse:
    """Answer one message as server-sent events: start, text, thinking, tool_call, tool_result, usage, final."""
    require_own_tenant(tenant, body.tenant_id)
    saved = await run_in_threadpool(attempt.begin)
    request_id, public_url = envelope.request_id, runtime.settings.public_url
    if saved is not None:
        saved_events = replay(runtime, tenant.tenant_id, saved.id, after=0)
        stored = [sse.encode_event(e, request_id=request_id, public_url=public_url) for e in saved_events.read()]
        headers = {**sse.HEADERS, "Idempotency-Replayed": "true"}
        return StreamingResponse(iter(stored), media_type=sse.MEDIA_TYPE, headers=headers)
    turn = await run_in_threadpool(attempt.attach, lambda: turn_service(runtime, tenant).begin(body.to_domain()))
    live = _stream(TurnWorker(turn), request_id, public_url)
    return StreamingResponse(live, media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)


async def _stream(worker: TurnWorker, request_id: str, public_url: str) -> AsyncIterator[bytes]:
    async for event in worker.events(sse.KEEP_ALIVE_SECONDS):
        yield _bytes(event, request_id, public_url)


def _bytes(event: RunEvent | None, request_id: str, public_url: str) -> bytes:
    if event is None:
        return sse.KEEP_ALIVE
    return sse.encode_event(event, request_id=request_id, public_url=public_url)
