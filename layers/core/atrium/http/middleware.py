"""The outermost middleware: request id, body limit, common headers, CORS, access log, and unexpected exceptions.

On AWS, the gateway responds to preflight requests. If a preflight request reaches the function, the function returns
the same response.
"""

import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import ResponseValidationError
from pydantic import ValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atrium.bootstrap import Runtime, RuntimeSource
from atrium.http import logs
from atrium.http.context import SCOPE_KEY, ContextSource, GatewayContext, read_gateway_context
from atrium.http.guarding import HEADERS_KEY
from atrium.http.problems import render_problem
from atrium.kernel.errors import AtriumError, PayloadTooLarge, UnsupportedMediaType

ALLOWED_HEADERS = ", ".join([
    "authorization", "x-api-key", "x-tenant-id", "content-type",
    "idempotency-key", "last-event-id", "traceparent", "anthropic-version",
])  # fmt: skip
ALLOWED_METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
EXPOSED_HEADERS = "x-request-id, location, retry-after, ratelimit, ratelimit-policy, idempotency-replayed"
_MAX_AGE_SECONDS = 7200
BODY_BYTES_MAX = 1_048_576
HEAD_KEY = "atrium.head"
"""Set in the scope of a HEAD request, which is handled by the GET route."""
_FRAMES_MAX = 12


def is_preflight(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return scope["method"] == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def allow_origin(headers: MutableHeaders, origin: str | None, origins: Sequence[str]) -> None:
    """Add the CORS headers for an allowed origin. Cookies are not allowed, because credentials are sent in headers."""
    if "*" in origins:
        headers["Access-Control-Allow-Origin"] = "*"
    else:
        headers.add_vary_header("Origin")
        if origin is None or origin not in origins:
            return
        headers["Access-Control-Allow-Origin"] = origin
    headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS


def allow_preflight(headers: MutableHeaders) -> None:
    headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
    headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
    headers["Access-Control-Max-Age"] = str(_MAX_AGE_SECONDS)


class RequestMiddleware:
    """The ASGI middleware that wraps the whole application."""

    def __init__(self, app: ASGIApp, *, runtime: RuntimeSource, source: ContextSource) -> None:
        self._app = app
        self._runtime = runtime
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        runtime = self._runtime()
        gateway_context = read_gateway_context(scope, self._source, now_ms=int(runtime.clock().timestamp() * 1000))
        scope[SCOPE_KEY] = gateway_context
        logs.unbind()
        caller = gateway_context.authorizer or {}
        logs.bind(
            request_id=gateway_context.request_id,
            trace_id=gateway_context.trace_id,
            tenant_id=str(caller.get("tenant_id", "")),
            principal_id=str(caller.get("principal_id", "")),
        )
        if scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET", HEAD_KEY: True}, _without_body(send)
        await _Exchange(self._app, scope, gateway_context, runtime).run(receive, send)


class _Exchange:
    """Processes one request and its response."""

    def __init__(self, app: ASGIApp, scope: Scope, gateway_context: GatewayContext, runtime: Runtime) -> None:
        self._app = app
        self._scope = scope
        self._gateway_context = gateway_context
        self._settings = runtime.settings
        self._headers = Headers(scope=scope)
        self._status = 0
        self._started = time.perf_counter()

    async def run(self, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._status = message["status"]
                self._decorate(MutableHeaders(scope=message))
            await send(message)

        try:
            answer = self._answer_early()
            if answer is None:
                await self._app(self._scope, _bounded(receive), send_on)
            else:
                await answer(self._scope, receive, send_on)
        except Exception as error:
            _log_failure(error)
            if self._status:
                self._status = 500
                raise
            await self._render(AtriumError())(self._scope, receive, send_on)
        finally:
            self._log_access()

    def _answer_early(self) -> Response | None:
        """Return the response to a preflight request, or to a request whose body is too large or compressed.

        Return None for any other request.
        """
        if is_preflight(self._scope):
            response = Response(status_code=204)
            allow_preflight(response.headers)
            return response
        length = self._headers.get("content-length", "")
        if length.isdecimal() and int(length) > BODY_BYTES_MAX:
            return self._render(PayloadTooLarge())
        if self._headers.get("content-encoding", "identity").lower() != "identity":
            return self._render(
                UnsupportedMediaType("The body must not be compressed. Remove the header `Content-Encoding`.")
            )
        return None

    def _render(self, error: AtriumError) -> Response:
        base_url = self._settings.public_url or self._gateway_context.base_path
        error_format = self._scope["app"].state.error_formats.get(self._scope["path"])
        return render_problem(
            error, request_id=self._gateway_context.request_id, public_url=base_url, error_format=error_format
        )

    def _decorate(self, headers: MutableHeaders) -> None:
        headers["x-request-id"] = self._gateway_context.request_id
        if self._gateway_context.trace_parent:
            headers["traceparent"] = self._gateway_context.trace_parent
        headers.setdefault("Cache-Control", "no-store")
        headers["X-Content-Type-Options"] = "nosniff"
        if self._settings.public_url.startswith("https://"):
            headers["Strict-Transport-Security"] = "max-age=31536000"
        for name, value in self._scope.get(HEADERS_KEY, {}).items():
            headers.setdefault(name, value)
        allow_origin(headers, self._headers.get("origin"), self._settings.cors_origins)

    def _log_access(self) -> None:
        logs.logger().info(
            "access",
            method="HEAD" if HEAD_KEY in self._scope else self._scope["method"],
            path=self._scope["path"],
            route=_route_path(self._scope),
            status=self._status,
            duration_ms=round((time.perf_counter() - self._started) * 1000, 1),
        )


def _without_body(send: Send) -> Send:
    """Return a `send` function that sends only the headers of a response (RFC 9110 §9.3.2).

    `Content-Length` has the same value as in the response to a GET request.
    """

    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


def _bounded(receive: Receive) -> Receive:
    """Return a `receive` function that raises an HTTP exception when the body exceeds `BODY_BYTES_MAX`."""
    total = 0

    async def receive_bounded() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > BODY_BYTES_MAX:
            raise HTTPException(413)
        return message

    return receive_bounded


def _route_path(scope: Scope) -> str | None:
    return getattr(scope.get("route"), "path", None)


def _log_failure(error: Exception) -> None:
    """Log an unexpected exception. The text of a validation error contains the input, so it is not logged."""
    quotes_input = isinstance(error, ValidationError | ResponseValidationError)
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_MAX:]
    fields: Mapping[str, Any] = {
        "exception_name": type(error).__name__,
        "exception": "" if quotes_input else str(error)[:500],
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    logs.logger().error("unexpected failure", **fields)
