"""The ASGI application of the front server, which routes and authorizes each request and calls the integration."""

import time

from starlette.types import Receive, Scope, Send

from infra.local.gateway.api import Api, FixedIntegration
from infra.local.gateway.authorize import authorize
from infra.local.gateway.buffered import integrate
from infra.local.gateway.events import Call, Event, base_context, context_event
from infra.local.gateway.headers import raw_headers
from infra.local.gateway.refusals import Answer, Refusal, render_refusal
from infra.local.gateway.requests import ClientLeft, GatewayRequest, raw_path, read_request
from infra.local.gateway.routes import match_route
from infra.local.gateway.streaming import StreamingIntegration
from infra.local.lambdas.service import LambdaService
from infra.local.logs.entries import Entry
from infra.local.logs.stack_log import StackLog, read_clock

COMPONENT = "gateway"
# API Gateway's response for a path outside the API. The template's gateway responses do not apply to such a path.
_NO_STAGE = Answer(403, (("content-type", "application/json"),), b'{"message":"Forbidden"}')


class Front:
    """An ASGI application that serves one API at the root or under the stage prefix."""

    def __init__(self, api: Api, service: LambdaService, log: StackLog, stage_prefix: str) -> None:
        self._api = api
        self._service = service
        self._log = log
        self._stage_prefix = stage_prefix
        self._streaming = StreamingIntegration(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises StreamBroken if a stream is interrupted, so that the connection is closed."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        began = time.monotonic()
        try:
            if not self._is_inside(raw_path(scope)):
                await _send_answer(_NO_STAGE, send)
                return
            request = await read_request(scope, receive, self._stage_prefix)
        except ClientLeft:
            return
        status = 0
        try:
            status = await self._serve(request, send)
        finally:
            self._note(request, status, time.monotonic() - began)

    async def close(self) -> None:
        """Cancel the open streams."""
        await self._streaming.close()

    def _is_inside(self, path: str) -> bool:
        prefix = self._stage_prefix
        return path == prefix or path.startswith(f"{prefix}/")

    async def _serve(self, request: GatewayRequest, send: Send) -> int:
        match = match_route(self._api.routes, request.method, request.path)
        call = None if match is None else Call(self._api, request, match, self._stage_prefix)
        outcome = await self._decide(request, call, send)
        if isinstance(outcome, Refusal):
            context = base_context(self._api, request, self._stage_prefix) if call is None else context_event(call)
            outcome = render_refusal(outcome, self._api.responses, context, dict(request.headers))
        return outcome if isinstance(outcome, int) else await _send_answer(outcome, send)

    async def _decide(self, request: GatewayRequest, call: Call | None, send: Send) -> Answer | Refusal | int:
        if call is None:
            return Refusal("MISSING_AUTHENTICATION_TOKEN")
        if request.too_large:
            return Refusal("REQUEST_TOO_LARGE")
        authorizer: Event | None = None
        if call.match.route.authorizer is not None:
            decided = await authorize(call, call.match.route.authorizer, self._service)
            if isinstance(decided, Refusal):
                return decided
            authorizer = decided
        return await self._integrate(call, authorizer, send)

    async def _integrate(self, call: Call, authorizer: Event | None, send: Send) -> Answer | Refusal | int:
        """Return the response to send, or the status of a response that was already sent."""
        integration = call.match.route.integration
        if isinstance(integration, FixedIntegration):
            return Answer(integration.status, tuple(integration.headers.items()), integration.body.encode())
        if integration.streams:
            return await self._streaming.integrate(call, integration, authorizer, send)
        return await integrate(call, integration, authorizer, self._service)

    def _note(self, request: GatewayRequest, status: int, seconds: float) -> None:
        broken = status == 0
        message = f"{request.method} {request.path} {'broke off' if broken else status}"
        level = "ERROR" if broken or status >= 500 else "INFO"
        details = (("ms", f"{seconds * 1000:.0f}"),)
        self._log.add(Entry(read_clock(), COMPONENT, level, message, request.request_id, details))


async def _send_answer(answer: Answer, send: Send) -> int:
    headers = [*answer.headers, ("content-length", str(len(answer.body)))]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw_headers(headers)})
    await send({"type": "http.response.body", "body": answer.body})
    return answer.status
