"""One HTTP request and its answer: raw ASGI, because the server must notice at once when the client leaves.

A watcher waits for the disconnect from the moment the body is read; every pause ends early when it comes.
"""

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Self
from urllib.parse import parse_qsl

from pydantic import JsonValue
from starlette.types import Receive, Scope, Send

from infra.local.model_server.errors import ApiError
from infra.local.model_server.wire import Event

BODY_BYTES_MAX = 32 * 1024 * 1024


class ClientClosed(Exception):
    """The client has closed its connection."""


class Dropped(Exception):
    """The connection is to be dropped with the answer unfinished."""


class Exchange:
    """What a route needs of a request; `on_start` is called with the status before the answer's first byte,
    `on_last` before its last, so that nobody sees an answer before the journal has it."""

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
        """End the exchange from outside, as the server does when it stops."""
        if not self._end.done():
            self._end.set_result(Dropped())

    async def read_body(self) -> bytes:
        """The whole body; 413 above 32 MB, `ClientClosed` when it does not arrive whole."""
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
        """Wait; raise `ClientClosed` as soon as the client leaves, `Dropped` when the server stops."""
        done, _ = await asyncio.wait([self._end], timeout=seconds)
        if done:
            raise self._end.result()

    async def send_json(self, status: int, body: JsonValue, headers: dict[str, str] | None = None) -> None:
        """Answer with JSON."""
        content = json.dumps(body).encode()
        length = {"content-type": "application/json", "content-length": str(len(content))}
        await self._start(status, {**length, **(headers or {})})
        await self.send_piece(content, last=True)

    async def send_error(self, error: ApiError) -> None:
        """Answer with an error, or end a stream that has begun with an `error` event."""
        body = error.body(self.request_id)
        if self.started:
            await self.send_piece(Event("error", body).encode(), last=True)
        else:
            await self.send_json(error.status, body, error.headers)

    async def open_stream(self) -> None:
        """Begin an event stream."""
        await self._start(200, {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"})

    async def send_piece(self, piece: bytes, *, last: bool = False) -> None:
        """Send a piece of the answer at once."""
        if last:
            self.on_last()
        await self._send({"type": "http.response.body", "body": piece, "more_body": not last})

    async def send_fragment(self) -> None:
        """Send the beginning of a JSON answer that will never be whole."""
        await self._start(200, {"content-type": "application/json", "content-length": "1000"})
        await self.send_piece(b'{"id":"msg_01')

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        self.started = True
        self.on_start(status)
        lines = [(name.encode(), value.encode()) for name, value in {"request-id": self.request_id, **headers}.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": lines})

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._end.done():
            self._end.set_result(ClientClosed())
