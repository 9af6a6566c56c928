"""Receives the invocations that the emulator makes for schedules, streams, queues and the Invoke API.

The emulator posts the event with the function's name in a header. A response with status 200 contains the result. Any
other status means that the function failed.
"""

import json

from starlette.types import Receive, Scope, Send

from infra.local.lambdas.pool import Throttled
from infra.local.lambdas.service import LambdaService, UnknownFunction
from infra.runtime.results import Invocation

_NAME_HEADER = b"x-amzn-lambda-function-name"
_STREAM_SOURCE = "aws:dynamodb"


class InvokeProxy:
    """An ASGI application that invokes functions."""

    def __init__(self, service: LambdaService) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Invoke the function whose name is in the header, and send its result."""
        name = dict(scope["headers"]).get(_NAME_HEADER, b"").decode()
        event = await _read_body(receive)
        try:
            status, payload = _answer(event, await self._service.invoke(name, event))
        except Throttled:
            status, payload = 429, _error("TooManyRequestsException", "no environment became free")
        except UnknownFunction:
            status, payload = (
                404,
                _error("ResourceNotFoundException", f"{name} is not a handler of the stack"),
            )
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": payload})


def _answer(event: bytes, invocation: Invocation) -> tuple[int, bytes]:
    if invocation.error is not None:
        return 502, _error(invocation.error.type, invocation.error.message)
    if _has_failed_records(event, invocation.payload):
        return 502, _error("BatchItemFailures", "records of this batch failed")
    return 200, invocation.payload


def _has_failed_records(event: bytes, payload: bytes) -> bool:
    """Return whether the event is from a stream and some of its records failed.

    The emulator supports partial failures only for queues.
    """
    if b"batchItemFailures" not in payload:
        return False
    answer, batch = json.loads(payload), json.loads(event)
    records = batch.get("Records") if isinstance(batch, dict) else None
    if not isinstance(answer, dict) or not records:
        return False
    return records[0].get("eventSource") == _STREAM_SOURCE and bool(answer.get("batchItemFailures"))


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


async def _read_body(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)
