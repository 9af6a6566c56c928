"""`/v1/runs`: list, get and cancel runs, and read the events of a run, for example after a disconnect."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Literal

import anyio
from atrium.bootstrap import Runtime
from atrium.http.dependencies import PageDep, RuntimeDep, TenantDep, require
from atrium.http.guarding import note_refusal, open_guard
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import ListOf, id_pattern, read_decimal_text
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.http.turns import follower_limit, replay, run_finalizer, run_service
from atrium.kernel.errors import LimitReached
from atrium.kernel.media_types import read_quality
from atrium.runs.approvals import paused
from atrium.runs.followers import Follower, FollowerLimit
from atrium.runs.model import RunEvent, RunStatus
from atrium.runs.replay import Replay
from atrium.tenants.context import TenantContext
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BeforeValidator
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.types import Receive, Scope, Send

from functions.chat import sse
from functions.chat.events import EVENT, EventsAnswer
from functions.chat.models import RunAnswer, render_run
from functions.chat.sse import EventWriter, EventWriterDep

router = APIRouter(tags=["runs"], route_class=IdempotentRoute)
FOLLOW_SECONDS_MAX = 120.0
WAIT_SECONDS_MAX = 20

RunPath = Annotated[str, Path(pattern=id_pattern("run"), description="Id of the run, `run_…`")]
Number = Annotated[int, BeforeValidator(read_decimal_text)]


@router.get("/v1/runs", dependencies=[require("sessions:read")])
def list_runs(
    tenant: TenantDep,
    runtime: RuntimeDep,
    page: PageDep,
    status: Annotated[
        RunStatus | None, Query(description="Return only runs with this status. Default: all runs")
    ] = None,
    session_id: Annotated[
        str | None, Query(max_length=64, description="Return only runs of this session. Default: all runs")
    ] = None,
) -> ListOf[RunAnswer]:
    """List runs.

    Returns your runs, newest first. With the scope `admin`, returns all runs of the tenant.
    """
    scope = list_scope(tenant, "runs", status=status, session_id=session_id)
    request = page_request(page, runtime.cursors, scope=scope)
    found = run_service(runtime, tenant).list(request, session_id=session_id, status=status)
    return render_page(found.map(render_run), runtime.cursors, scope=scope)


@router.get("/v1/runs/{run_id}", dependencies=[require("sessions:read")], responses=problem_responses(404))
def get_run(run_id: RunPath, tenant: TenantDep, runtime: RuntimeDep) -> RunAnswer:
    """Get a run.

    Returns a run. For an open run, the response contains the current state.
    """
    runs = run_service(runtime, tenant)
    run = runs.get(run_id)
    return render_run(paused(runs.runs, run, runtime.clock) if run.is_waiting else run)


@router.post("/v1/runs/{run_id}/cancel", dependencies=[require("chat")], responses=problem_responses(404))
def cancel_run(run_id: RunPath, tenant: TenantDep, runtime: RuntimeDep) -> RunAnswer:
    """Cancel a run.

    The run stops within 10 seconds. The response contains the current state of the run. A run that has
    ended is not changed.
    """
    runs = run_service(runtime, tenant)
    run = runs.cancel(run_id)
    if run.is_waiting:  # no worker has it
        run_finalizer(runtime, tenant.tenant_id).close_expired(run.id)
        run = runs.get(run_id)
    return render_run(run)


@router.get(
    "/v1/runs/{run_id}/events",
    dependencies=[require("sessions:read")],
    response_model=EventsAnswer,
    responses={
        **sse.DOCUMENTATION,
        204: {"description": "Server-sent events only: the run has ended and there are no more events"},
        **problem_responses(404, 429),
    },
)
async def read_events(
    run_id: RunPath,
    request: Request,
    tenant: TenantDep,
    runtime: RuntimeDep,
    writer: EventWriterDep,
    after: Annotated[
        Number, Query(ge=0, description="Sequence number of the last received event. Default 0: all events")
    ] = 0,
    wait: Annotated[
        Number,
        Query(ge=0, le=WAIT_SECONDS_MAX, description="Seconds to wait for a new event, 0 to 20. JSON only. Default 0"),
    ] = 0,
    last_event_id: Annotated[
        Number | None,
        Header(ge=0, description="Same as `after`, sent by a reconnecting `EventSource`. Overrides `after`"),
    ] = None,
) -> Response:
    """Get a run's events.

    Returns the events after `after` and then new events, as server-sent events; with `Accept: application/json`, the
    call is a long poll. If the run has ended without more events, the SSE response is 204: `EventSource` must stop.
    While a run is open, a stream or a poll with `wait` counts as a follower. Above the tenant's limit
    `event_followers`, the call returns 429. A stream ends after at most two minutes, and an `EventSource` reconnects.
    """
    run = await run_in_threadpool(run_service(runtime, tenant).get, run_id)
    start = last_event_id if last_event_id is not None else after
    events = replay(runtime, tenant.tenant_id, run.id, after=start)
    if _wants(request) == "json":
        limit = follower_limit(runtime, tenant) if wait and run.is_open else None
        follower = await run_in_threadpool(_take, limit, runtime, tenant) if limit else None
        answer = await run_in_threadpool(_long_poll, events, wait, writer, follower)
        return Response(answer.model_dump_json(), media_type="application/json")
    if run.is_open:
        follower = await run_in_threadpool(_take, follower_limit(runtime, tenant), runtime, tenant)
        return _FollowResponse(events, writer, follower)
    stored = await run_in_threadpool(lambda: [writer.encode(event) for event in events.read()])
    if not stored:
        return Response(status_code=204)
    return StreamingResponse(iter(stored), media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)


def _wants(request: Request) -> Literal["json", "sse"]:
    accept = ",".join(request.headers.getlist("accept"))
    return "json" if read_quality(accept, "application/json") > read_quality(accept, sse.MEDIA_TYPE) else "sse"


def _take(limit: FollowerLimit, runtime: Runtime, tenant: TenantContext) -> Follower:
    """Count a follower. If there are too many, raise `ConcurrencyLimited` and count the rejection in the audit log."""
    try:
        return limit.take()
    except LimitReached as rejection:
        note_refusal(open_guard(runtime, tenant).audit, rejection)
        raise


def _long_poll(replay: Replay, wait_seconds: int, writer: EventWriter, follower: Follower | None) -> EventsAnswer:
    """Return the stored events, or wait for the first new events. Releases the follower in all cases."""
    found: list[RunEvent] = []
    try:
        for event in replay.follow(wait_seconds):
            if event is not None:
                found.append(event)
            elif found:
                break
    finally:
        if follower:
            follower.release()
    shown = [EVENT.validate_python(writer.describe(event)) for event in found]
    return EventsAnswer(data=shown, ended=replay.ended)


class _FollowResponse(StreamingResponse):
    """A stream of a run's events. The follower is released even if the response never starts."""

    def __init__(self, replay: Replay, writer: EventWriter, follower: Follower) -> None:
        super().__init__(_follow(replay, writer, follower), media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)
        self._follower = follower

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._follower.release)


async def _follow(replay: Replay, writer: EventWriter, follower: Follower) -> AsyncIterator[bytes]:
    """Yield the events. Release the follower before the response ends, because Lambda then freezes the function."""
    spoken = time.monotonic()
    try:
        async for event in iterate_in_threadpool(_held(replay, follower)):
            if event is not None or time.monotonic() - spoken >= sse.KEEP_ALIVE_SECONDS:
                yield writer.encode(event)
                spoken = time.monotonic()
    finally:
        with anyio.CancelScope(shield=True):
            await run_in_threadpool(follower.release)


def _held(replay: Replay, follower: Follower) -> Iterator[RunEvent | None]:
    """Yield the events of the replay until the replay ends or the follower's lease cannot be renewed."""
    for event in replay.follow(FOLLOW_SECONDS_MAX):
        yield event
        if event is None and not follower.hold():
            return
