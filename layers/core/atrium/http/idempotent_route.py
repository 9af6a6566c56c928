"""The route class behind `Idempotency-Key`. The mark is set when a call is about to execute, after its credential,
query and body have been accepted: a refused call writes nothing.
"""

import inspect
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.http.calls import HEADER, open_store, read_call_key, read_deadline_ms, read_key_header
from atrium.http.context import read_call
from atrium.http.failures import render_failure
from atrium.http.problems import ProblemResponse
from atrium.http.saved_answers import CallKey, IdempotencyStore, Mark, SavedAnswer, SavedRun
from atrium.http.sealing import seal, unseal
from atrium.kernel.errors import AtriumError, Unavailable

REPLAYED = {"Idempotency-Replayed": "true"}
_KEPT_HEADERS = ("content-type", "location")
_NEVER_KEPT = frozenset({401, 403, 422, 429})
_SEALED_MARK = "__atrium_sealed__"

type Endpoint = Callable[..., Any]
type RouteHandler = Callable[[Request], Awaitable[Response]]


class _Replay(Exception):
    """Carries a saved answer out of the framework's call of the endpoint."""

    def __init__(self, answer: SavedAnswer) -> None:
        self.answer = answer


def answers_secret[E: Endpoint](endpoint: E) -> E:
    """Mark an endpoint whose answer shows a secret: the saved answer is sealed."""
    setattr(endpoint, _SEALED_MARK, True)
    return endpoint


def is_sealed(endpoint: Endpoint) -> bool:
    """Tell whether the endpoint's saved answers are sealed."""
    return bool(getattr(endpoint, _SEALED_MARK, False))


class _Attempt:
    """One call with a key: from the moment before its endpoint runs to the answer."""

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
                raise TypeError("a run is replayed by its own function")

    def end(self, response: Response | None) -> None:
        """Keep the answer of a call that was executed for good; let any other be made again.

        A table that fails now must not take away an answer that exists: the mark then ends by itself.
        """
        if self._mark is None:
            return
        try:
            if response is not None and _is_final(response):
                self._store().complete(self._mark, self._save(response))
            else:
                self._store().abandon(self._mark)
        except Unavailable as error:
            logs.logger().warning("answer not kept", internal=error.internal)

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
    """A route whose POST honours `Idempotency-Key`; its other methods are as usual."""

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
    """Tell whether a repeated call must get this answer: not what a retry may better, nor what was refused."""
    if isinstance(response, ProblemResponse) and response.retryable:
        return False
    return response.status_code < 500 and response.status_code not in _NEVER_KEPT


def _begin_first(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with the mark set before it, in the thread or the loop where it runs."""
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
