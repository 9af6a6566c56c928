"""The streaming integration. It replaces API Gateway, Lambda and the web adapter for functions that stream.

The application receives the request over HTTP with the gateway's context in a header, and its response is streamed to
the client. The function is not notified if the client disconnects: its response is read to the end and discarded.
"""

import asyncio
import contextlib
import json
import time

import httpx
from starlette.types import Send

from infra.local.gateway.api import FunctionIntegration
from infra.local.gateway.buffered import BAD_GATEWAY, THROTTLED_FUNCTION
from infra.local.gateway.events import Call, Event, context_event, forwarded_headers
from infra.local.gateway.headers import answer_headers, raw_headers
from infra.local.gateway.refusals import Refusal
from infra.local.lambdas.pool import InitFailed, Throttled
from infra.local.lambdas.service import LambdaService, UnknownFunction
from infra.local.lambdas.web import WebEnvironment
from infra.local.stack.functions import StackFunction

_NOT_FORWARDED = frozenset({"connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"})


class StreamBroken(Exception):
    """Raised if a response is interrupted after it has begun. The client's connection must then be closed."""


class ResponseWriter:
    """Writes a response to the client, unless `closed` is true. `status` is None until the response has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None
        self.closed = False

    async def begin(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Send the status and the headers."""
        if not self.closed:
            self.status = status
            await self._send({"type": "http.response.start", "status": status, "headers": raw_headers(headers)})

    async def write(self, piece: bytes, *, more: bool = True) -> None:
        """Send a chunk of the body. `more` must be False for the last chunk."""
        if not self.closed:
            await self._send({"type": "http.response.body", "body": piece, "more_body": more})


class StreamingIntegration:
    """Serves the streaming routes. Tracks the invocations, because they may continue after the client disconnects."""

    def __init__(self, service: LambdaService) -> None:
        self._service = service
        self._running: set[asyncio.Task[Refusal | None]] = set()

    async def integrate(
        self, call: Call, integration: FunctionIntegration, authorizer: Event | None, send: Send
    ) -> Refusal | int:
        """Send the function's response and return its status, or return a refusal if there is no response.

        Raises StreamBroken if the response is interrupted or exceeds the integration's timeout.
        """
        writer = ResponseWriter(send)
        work = asyncio.create_task(self._invoke(call, integration.function_name, authorizer, writer))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait({work}, timeout=integration.timeout_seconds)
        if not done:
            writer.closed = True
            if writer.status is None:
                return Refusal("INTEGRATION_TIMEOUT", authorizer)
            raise StreamBroken
        refusal = work.result()
        if writer.status is None:
            return refusal or BAD_GATEWAY
        if refusal is not None:
            raise StreamBroken
        return writer.status

    async def close(self) -> None:
        """Cancel the running invocations."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _invoke(self, call: Call, name: str, authorizer: Event | None, writer: ResponseWriter) -> Refusal | None:
        try:
            async with self._service.lease(name) as environment:
                return await _run(environment, call, authorizer, writer)
        except Throttled:
            return THROTTLED_FUNCTION
        except (InitFailed, UnknownFunction):
            return BAD_GATEWAY


async def _run(
    environment: WebEnvironment, call: Call, authorizer: Event | None, writer: ResponseWriter
) -> Refusal | None:
    """Run one request until its response is complete or the function's timeout expires.

    Return a refusal if the request fails. After the timeout, the process is killed.
    """
    seconds = environment.item.function.timeout_seconds
    try:
        async with asyncio.timeout(seconds):
            await _pass_on(environment, call, authorizer, writer)
    except httpx.TransportError:
        await environment.end_after_failure()
        return BAD_GATEWAY
    except TimeoutError:
        environment.kill()
        return BAD_GATEWAY
    except asyncio.CancelledError:
        environment.kill()
        raise
    return None


async def _pass_on(environment: WebEnvironment, call: Call, authorizer: Event | None, writer: ResponseWriter) -> None:
    request = call.request
    query = f"?{httpx.QueryParams(list(request.query))}" if request.query else ""
    body = request.body.decode("utf-8", "replace").encode()  # Lambda passes the event as JSON
    url = f"{environment.url}{request.path}{query}"
    # A Request is built directly, because httpx's convenience methods add headers.
    headers = raw_headers(_request_headers(call, authorizer, environment.item))  # values may be non-ASCII
    inner = httpx.Request(request.method, url, headers=headers, content=body)
    answer = await environment.client.send(inner, stream=True)
    async with contextlib.aclosing(answer):
        given = [(name, value) for name, value in answer.headers.multi_items() if name != "content-length"]
        await writer.begin(answer.status_code, answer_headers(given, request.request_id, request.trace_id))
        async for piece in answer.aiter_raw():
            await writer.write(piece)
    await writer.write(b"", more=False)


def _request_headers(call: Call, authorizer: Event | None, item: StackFunction) -> list[tuple[str, str]]:
    """Return the client's headers, the gateway's headers, and the two context headers that the web adapter adds."""
    kept = [(name, value) for name, value in forwarded_headers(call.request) if name not in _NOT_FORWARDED]
    function = item.function
    lambda_context = {
        "request_id": call.request.request_id,
        "deadline": int((time.time() + function.timeout_seconds) * 1000),
        "invoked_function_arn": item.arn,
        "xray_trace_id": call.request.trace_id,
        "client_context": None,
        "identity": None,
        "env_config": {
            "function_name": function.name,
            "memory": function.memory_megabytes,
            "version": "$LATEST",
            "log_stream": "",
            "log_group": "",
        },
    }
    return [
        *kept,
        ("x-amzn-request-context", json.dumps(context_event(call, authorizer))),
        ("x-amzn-lambda-context", json.dumps(lambda_context)),
    ]
