"""Supports `Idempotency-Key` on POST routes: `APIRouter(route_class=IdempotentRoute)`.

The decorator `@answers_secret` marks an endpoint whose responses contain a secret. It is placed between the route's
decorator and the endpoint. The `Mark` of a call is written just before the endpoint runs, after the credential, query
and body were validated, so a rejected call writes nothing.

A chat response is replayed from its run. The chat function therefore calls `read_call_key` and `open_store` directly.
It calls `begin` before it starts the run, `complete` with a `SavedRun` when the run exists, and `abandon` if no run was
started.
"""

import inspect
import json
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.http.context import read_call, request_gateway_context
from atrium.http.failures import render_failure
from atrium.http.problems import ProblemResponse
from atrium.http.saved_answers import CallKey, IdempotencyStore, Mark, SavedAnswer, SavedRun, seal, unseal
from atrium.kernel.crypto import hmac_sha256
from atrium.kernel.errors import AtriumError, Unavailable
from atrium.tenants.context import Caller, TenantContext

HEADER = "Idempotency-Key"
_DEADLINE_MS_DEFAULT = 30_000

type Endpoint = Callable[..., Any]
type RouteHandler = Callable[[Request], Awaitable[Response]]

REPLAYED = {"Idempotency-Replayed": "true"}
_KEPT_HEADERS = ("content-type", "location")
_NEVER_KEPT = frozenset({401, 403, 422, 429})
_SEALED_MARK = "__atrium_sealed__"


def open_store(runtime: Runtime, call: TenantContext | Caller) -> IdempotencyStore:
    """Return the idempotency store of the caller's tenant, or of the platform for a credential without a tenant."""
    table = runtime.tenant_table(call.tenant_id) if isinstance(call, TenantContext) else runtime.platform_table
    return IdempotencyStore(table, runtime.clock)


async def read_call_key(request: Request) -> CallKey | None:
    """Return the `CallKey` of a request, or None if the request has no `Idempotency-Key` header."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    content = str(request.query_params).encode() + b"\0" + _canonical(await request.body())
    if session := request.headers.get("x-session-id"):
        content += b"\0" + session.encode()
    runtime: Runtime = request.app.state.runtime()
    return CallKey(
        principal_id=_principal_id(request),
        method=request.method,
        path=request.url.path,
        key=key,
        fingerprint=(await run_in_threadpool(lambda: hmac_sha256(runtime.idempotency_key(), content))).hex(),
    )


def read_deadline_ms(request: Request, runtime: Runtime) -> int:
    """Return the time at which the function will be stopped, in epoch milliseconds.

    If the time is unknown, return a time 30 seconds from now.
    """
    known = request_gateway_context(request).ends_at_ms
    return known if known is not None else int(runtime.clock().timestamp() * 1000) + _DEADLINE_MS_DEFAULT


def _principal_id(request: Request) -> str:
    call = read_call(request)
    principal = call.principal
    return f"{principal.type}:{principal.id}"


def _canonical(body: bytes) -> bytes:
    """Return a JSON body in canonical form, in which member order and white space have no effect.

    A body that is not JSON is returned unchanged.
    """
    try:
        return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return body


async def read_key_header(
    key: Annotated[
        str | None,
        Header(
            alias=HEADER,
            min_length=1,
            max_length=255,
            description="1 to 255 characters. For 24 hours, a repeated call with this key returns the saved response",
        ),
    ] = None,
) -> str | None:
    return key


class _Replay(Exception):
    """Raised before an endpoint runs, to return a saved response instead."""

    def __init__(self, answer: SavedAnswer) -> None:
        self.answer = answer


def answers_secret[E: Endpoint](endpoint: E) -> E:
    """Mark an endpoint whose response contains a secret. The saved response is encrypted."""
    setattr(endpoint, _SEALED_MARK, True)
    return endpoint


def is_sealed(endpoint: Endpoint) -> bool:
    """Return whether the saved responses of an endpoint are encrypted."""
    return bool(getattr(endpoint, _SEALED_MARK, False))


class _Attempt:
    """The execution of one call that has an idempotency key.

    `begin` runs just before the endpoint, and `end` runs after the response was created.
    """

    def __init__(self, request: Request, key: CallKey, *, sealed: bool) -> None:
        self._request = request
        self._key = key
        self._sealed = sealed
        self._runtime: Runtime = request.app.state.runtime()
        self._mark: Mark | None = None

    @property
    def began(self) -> bool:
        return self._mark is not None

    def begin(self) -> None:
        outcome = self._store().begin(self._key, ends_at_ms=read_deadline_ms(self._request, self._runtime))
        match outcome:
            case Mark():
                self._mark = outcome
            case SavedAnswer():
                raise _Replay(self._open(outcome))
            case SavedRun():
                raise TypeError("a run must be replayed by the function that started it")

    def end(self, response: Response | None) -> None:
        """Save a final response. If there is no response, or if it is not final, release the idempotency key.

        If the table is unavailable, the response is still returned to the caller, and the mark expires.
        """
        if self._mark is None:
            return
        try:
            if response is not None and _is_final(response):
                self._store().complete(self._mark, self._save(response))
            else:
                self._store().abandon(self._mark)
        except Unavailable as error:
            logs.logger().warning("response not saved", internal=error.internal)

    def _store(self) -> IdempotencyStore:
        return open_store(self._runtime, read_call(self._request))

    def _save(self, response: Response) -> SavedAnswer:
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        body = bytes(response.body)
        if self._sealed:
            body = seal(body, credential=self._credential(), key=self._key.key, digest=self._key.digest)
        return SavedAnswer(response.status_code, headers, body, self._sealed)

    def _open(self, answer: SavedAnswer) -> SavedAnswer:
        if not answer.sealed:
            return answer
        body = unseal(answer.body, credential=self._credential(), key=self._key.key, digest=self._key.digest)
        return SavedAnswer(answer.status, answer.headers, body)

    def _credential(self) -> str:
        headers = self._request.headers
        return headers.get("x-api-key") or headers.get("authorization", "").partition(" ")[2]


_attempt: ContextVar[_Attempt | None] = ContextVar("atrium_attempt", default=None)


class IdempotentRoute(APIRoute):
    """A route that supports `Idempotency-Key` for POST requests."""

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        if "POST" in (options.get("methods") or ()):
            options["dependencies"] = [*(options.get("dependencies") or ()), Depends(read_key_header)]
            endpoint = _begin_first(endpoint)
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Any:
        handle = super().get_route_handler()
        sealed = is_sealed(self.endpoint)

        async def handle_once(request: Request) -> Response:
            if request.method != "POST" or HEADER not in request.headers:
                return await handle(request)
            return await _execute_once(request, handle, sealed=sealed)

        return handle_once


async def _execute_once(request: Request, handle: RouteHandler, *, sealed: bool) -> Response:
    key = await read_call_key(request)
    if key is None:
        return await handle(request)
    attempt = _Attempt(request, key, sealed=sealed)
    token = _attempt.set(attempt)
    response: Response | None = None
    try:
        response = await handle(request)
    except _Replay as replay:
        saved = replay.answer
        return Response(saved.body, saved.status, {**saved.headers, **REPLAYED})
    except AtriumError as error:
        response = render_failure(request, error)
        raise
    finally:
        _attempt.reset(token)
        if attempt.began:
            await run_in_threadpool(attempt.end, response)
    return response


def _is_final(response: Response) -> bool:
    """Return whether a repeated call must receive this response.

    Responses to rejected calls (401, 403, 422, 429), server errors and retryable problems are not final.
    """
    if isinstance(response, ProblemResponse) and response.retryable:
        return False
    return response.status_code < 500 and response.status_code not in _NEVER_KEPT


def _begin_first(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that writes the mark of a call and then calls the original endpoint."""
    if inspect.iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def begin_and_await(*arguments: Any, **named: Any) -> Any:
            attempt = _attempt.get()
            if attempt is not None:
                await run_in_threadpool(attempt.begin)
            return await endpoint(*arguments, **named)

        return begin_and_await

    @wraps(endpoint)
    def begin_and_call(*arguments: Any, **named: Any) -> Any:
        attempt = _attempt.get()
        if attempt is not None:
            attempt.begin()
        return endpoint(*arguments, **named)

    return begin_and_call
