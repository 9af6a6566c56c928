"""Handles an HTTP request with raw ASGI, because Starlette's responses detect too late that the client disconnected.

After the body has been read, a task waits for the client to disconnect. A disconnect ends all pauses immediately.
"""

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import parse_qsl

from pydantic import JsonValue
from starlette.types import Receive, Scope, Send

from infra.local.model_server.answer import Answer, Event
from infra.local.model_server.chat_answer import ChatAnswer, Chunk
from infra.local.model_server.protocol import INPUT_TOKENS_MAX, ApiError, Usage
from infra.local.model_server.request import prompt_too_long
from infra.local.model_server.script import Script

CHAT_PATH = "/v1/chat/completions"
BODY_BYTES_MAX = 32 * 1024 * 1024

type Failure = Literal["overload_midstream", "disconnect", "hang"]
FAILURES: tuple[Failure, ...] = ("overload_midstream", "disconnect", "hang")


class ClientClosed(Exception):
    """Raised if the client has closed its connection."""


class Dropped(Exception):
    """Raised if the connection must be closed before the response is complete."""


class Exchange:
    """Receives one request and sends its response.

    `on_start` is called with the status before the first byte of the response is sent, and `on_last` before the last
    byte. The log is therefore up to date before the client receives the response.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        self.request_id = f"req_011C{secrets.token_hex(10)}"
        self.on_start: Callable[[int], None] = lambda _status: None
        self.on_last: Callable[[], None] = lambda: None
        self.started = False
        self._receive = receive
        self._send = send
        self._end: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._watcher:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])

    def drop(self) -> None:
        """Make the current or next pause raise Dropped. The server calls this method when it stops."""
        if not self._end.done():
            self._end.set_result(Dropped())

    async def read_body(self) -> bytes:
        """Read the whole body. Raises a 413 error if the body exceeds 32 MiB, and ClientClosed if it is incomplete."""
        body = bytearray()
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientClosed
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > BODY_BYTES_MAX:
                raise ApiError(413, "Request exceeds the maximum size")
        self._watcher = asyncio.create_task(self._watch())
        return bytes(body)

    async def pause(self, seconds: float) -> None:
        """Wait for the given time. Raises ClientClosed if the client disconnects, and Dropped if the server stops."""
        done, _ = await asyncio.wait([self._end], timeout=seconds)
        if done:
            raise self._end.result()

    async def send_json(self, status: int, body: JsonValue, headers: dict[str, str] | None = None) -> None:
        """Send a JSON response."""
        content = json.dumps(body).encode()
        length = {"content-type": "application/json", "content-length": str(len(content))}
        await self._start(status, {**length, **(headers or {})})
        await self.send_piece(content, last=True)

    async def send_error(self, error: ApiError) -> None:
        """Send an error response. If a stream has begun, end it with an `error` event."""
        is_chat = self.path == CHAT_PATH
        body = error.chat_body() if is_chat else error.body(self.request_id)
        if self.started:
            event = Chunk("error", body) if is_chat else Event("error", body)
            await self.send_piece(event.encode(), last=True)
        else:
            await self.send_json(error.status, body, error.headers)

    async def open_stream(self) -> None:
        """Send the status and headers of an event stream."""
        await self._start(200, {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"})

    async def send_piece(self, piece: bytes, *, last: bool = False) -> None:
        """Send a chunk of the response immediately."""
        if last:
            self.on_last()
        await self._send({"type": "http.response.body", "body": piece, "more_body": not last})

    async def send_fragment(self) -> None:
        """Send the beginning of a JSON response that will not be completed."""
        await self._start(200, {"content-type": "application/json", "content-length": "1000"})
        await self.send_piece(b'{"id":"msg_01')

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        self.started = True
        self.on_start(status)
        name = "x-request-id" if self.path == CHAT_PATH else "request-id"
        lines = [(name.encode(), value.encode()) for name, value in {name: self.request_id, **headers}.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": lines})

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._end.done():
            self._end.set_result(ClientClosed())


@dataclass(frozen=True)
class ResponsePlayer:
    """Sends a response with the delays and failures of its script.

    The failures occur only if `failing` is true. `report` is called with each usage before the usage is sent.
    """

    exchange: Exchange
    script: Script
    failing: bool
    hang_seconds: float
    report: Callable[[Usage], None]

    async def refuse(self) -> None:
        """Wait for the scripted delay. Raises ApiError if the script has a failure that occurs before the response."""
        await self.exchange.pause(self.script.delay)
        if self.failing and self.script.status is not None:
            raise ApiError(self.script.status, retry_after=self.script.retry_after)
        if self.failing and self.script.overflow:
            raise prompt_too_long(INPUT_TOKENS_MAX + 1)

    async def play(self, answer: Answer | ChatAnswer, message_id: str, model: str, *, stream: bool) -> None:
        """Send the response as a stream of events, or as one JSON message after the total delay of all deltas."""
        events = list(answer.events(message_id=message_id, model=model, pieces=self.script.pieces))
        pieces = sum(event.is_piece for event in events)
        if stream:
            await self._stream(events, pieces)
            return
        for failure in FAILURES:
            if self._fails_after(failure, pieces) is not None:
                await self._fail(failure)
        await self.exchange.pause(self.script.slow * max(0, pieces - 1))
        self.report(answer.usage)
        await self.exchange.send_json(200, answer.message(message_id=message_id, model=model))

    async def _stream(self, events: list[Event], pieces: int) -> None:
        """Send the events.

        A scripted failure occurs after the scripted number of deltas, and at the latest before `message_delta`.
        """
        fails_after = {failure: self._fails_after(failure, pieces) for failure in FAILURES}
        if fails_after["hang"] == 0:
            await self._fail("hang")
        await self.exchange.open_stream()
        sent = 0
        for event in events:
            if event.is_piece or event.name == "message_delta":
                for failure in FAILURES:
                    if fails_after[failure] == sent:
                        await self._fail(failure)
            await self.exchange.pause(self.script.slow if event.is_piece and sent else 0)
            if event.usage:
                self.report(event.usage)
            await self.exchange.send_piece(event.encode(), last=event.name == "message_stop")
            sent += event.is_piece

    def _fails_after(self, failure: Failure, pieces: int) -> int | None:
        after: int | None = getattr(self.script, failure)
        return None if after is None or not self.failing else min(after, pieces)

    async def _fail(self, failure: Failure) -> None:
        if failure == "overload_midstream":
            raise ApiError(529)
        if failure == "disconnect":
            if not self.exchange.started:
                await self.exchange.send_fragment()
            raise Dropped
        await self.exchange.pause(self.hang_seconds)
        if self.exchange.started:
            raise Dropped
        raise ApiError(504)
