"""The model server: the vendors' routes under /v1, inspection routes under /__, and functions that run the server."""

import asyncio
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial

import pydantic_core
import uvicorn
from pydantic import JsonValue
from starlette.types import Receive, Scope, Send

from infra.local.model_server.answer import Answer, compose
from infra.local.model_server.chat_answer import ChatAnswer
from infra.local.model_server.chat_request import read_chat
from infra.local.model_server.exchange import ClientClosed, Dropped, Exchange, ResponsePlayer
from infra.local.model_server.protocol import ApiError, describe_model, list_chat_models, list_models
from infra.local.model_server.request import (
    MessagesRequest,
    Prompt,
    identify,
    lists_for_chat,
    public_headers,
    read_prompt,
    require_key,
)
from infra.local.model_server.request_log import Record, RequestLog, Stats
from infra.local.model_server.script import read_conversation, read_script

HOST = "127.0.0.1"

type Written = Answer | ChatAnswer
type ReadCall = Callable[[Exchange, bytes], tuple[JsonValue, MessagesRequest, Callable[[Answer], Written]]]
"""Reads the body of a call. Returns it with the validated request and the function that writes the answer."""


class Application:
    """The ASGI application of the model server. A response with a scripted hang ends after `hang_seconds`."""

    def __init__(self, log: RequestLog, *, hang_seconds: float = 120) -> None:
        self._log = log
        self._hang_seconds = hang_seconds
        self._live: set[Exchange] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        async with Exchange(scope, receive, send) as exchange:
            self._live.add(exchange)
            try:
                await self._route(exchange)
            except ApiError as error:
                await exchange.send_error(error)
            except (ClientClosed, Dropped):
                return  # the response is incomplete, so uvicorn closes the connection
            finally:
                self._live.discard(exchange)

    def drop_all(self) -> None:
        """Drop all requests in flight. Must be called in the server's event loop."""
        for exchange in self._live:
            exchange.drop()

    async def _route(self, exchange: Exchange) -> None:
        match exchange.method, exchange.path:
            case "POST", "/v1/messages":
                await self._log_call(exchange, read_messages)
            case "POST", "/v1/chat/completions":
                await self._log_call(exchange, read_completion)
            case "POST", "/v1/messages/count_tokens":
                raw = await exchange.read_body()
                prompt = read_prompt(Prompt, parse_json(raw), identify(exchange.headers))
                await exchange.send_json(200, {"input_tokens": prompt.input_tokens})
            case "GET", "/v1/models" if lists_for_chat(exchange.headers):
                require_key(exchange.headers)
                await exchange.send_json(200, list_chat_models())
            case "GET", "/v1/models":
                identify(exchange.headers)
                limit, after_id = _number(exchange, "limit", 20), exchange.query.get("after_id")
                models = list_models(limit=limit, after_id=after_id, before_id=exchange.query.get("before_id"))
                await exchange.send_json(200, models)
            case "GET", path if path.startswith("/v1/models/"):
                identify(exchange.headers)
                await exchange.send_json(200, describe_model(path.removeprefix("/v1/models/")))
            case "GET", "/__requests":
                records = self._log.requests(_number(exchange, "after", 0))
                await exchange.send_json(200, {"requests": [asdict(record) for record in records]})
            case "GET", "/__stats":
                await exchange.send_json(200, asdict(self._log.stats()))
            case "POST", "/__reset":
                self._log.reset()
                await exchange.send_json(200, {})
            case _:
                raise ApiError(404, f"no such route: {exchange.method} {exchange.path}")

    async def _log_call(self, exchange: Exchange, read: ReadCall) -> None:
        """Handle a call of a model. Log the request and its outcome, including failures."""
        started_at = time.time()
        raw = await exchange.read_body()
        try:
            body = parse_json(raw)
        except ApiError:
            body = None
        record = self._log.open(exchange.request_id, started_at, public_headers(exchange.headers), body)
        exchange.on_start = partial(self._log.start, record)
        exchange.on_last = partial(self._log.close, record, "completed")
        try:
            await self._answer_call(exchange, read, raw, record)
        except ApiError as error:
            self._log.close(record, "error", error.type)
            await exchange.send_error(error)
        except ClientClosed:
            self._log.close(record, "client_closed")
            raise
        finally:
            self._log.close(record, "error")

    async def _answer_call(self, exchange: Exchange, read: ReadCall, raw: bytes, record: Record) -> None:
        body, request, write = read(exchange, raw)
        conversation = read_conversation(request.messages)
        script = read_script(conversation.last)
        failing = False
        if script.can_fail and isinstance(body, dict):
            attempt = self._log.count_attempt(record, body["messages"])
            failing = (script.times is None or attempt <= script.times) and script.only in {None, request.model}
        player = ResponsePlayer(exchange, script, failing, self._hang_seconds, partial(self._log.report, record))
        await player.refuse()
        answer = write(compose(request, script, conversation))
        await player.play(answer, f"msg_01{secrets.token_hex(11)}", request.model, stream=request.stream)


def read_messages(exchange: Exchange, raw: bytes) -> tuple[JsonValue, MessagesRequest, Callable[[Answer], Written]]:
    """Read a call of the Messages API."""
    caller = identify(exchange.headers)
    body = parse_json(raw)
    return body, read_prompt(MessagesRequest, body, caller), lambda answer: answer


def read_completion(exchange: Exchange, raw: bytes) -> tuple[JsonValue, MessagesRequest, Callable[[Answer], Written]]:
    """Read a call of the Chat Completions API."""
    require_key(exchange.headers)
    body = parse_json(raw)
    request, translated = read_chat(body)
    return body, translated, partial(ChatAnswer, request=request)


def parse_json(raw: bytes) -> JsonValue:
    """Parse a request body as strict UTF-8 JSON. Raises a 400 error if it is invalid."""
    try:
        body: JsonValue = pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise ApiError(400, f"The request body is not valid JSON: {error}") from error
    return body


def _number(exchange: Exchange, name: str, default: int) -> int:
    text = exchange.query.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise ApiError(400, f"{name}: Input should be a whole number")
    return int(text)


class Host(uvicorn.Server):
    """A uvicorn server without logging. It calls `on_ready` after startup and drops requests in flight at shutdown."""

    def __init__(self, application: Application, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )
        self._application = application
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the server, then call `on_ready`."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drop requests in flight, then stop the server."""
        self._application.drop_all()
        await asyncio.sleep(0)
        await super().shutdown(sockets)


@dataclass(frozen=True)
class ModelServer:
    """A running model server. Tests read its log and statistics."""

    url: str
    _log: RequestLog

    def requests(self, after: int = 0) -> list[Record]:
        """Return the model requests with a number above `after`, oldest first."""
        return self._log.requests(after)

    def stats(self) -> Stats:
        """Return the number of requests in flight and the totals since the last reset."""
        return self._log.stats()

    def reset(self) -> None:
        """Delete requests, attempts and totals."""
        self._log.reset()

    def wait_until_idle(self, timeout_seconds: float = 60) -> None:
        """Wait until no request is in flight. Raises TimeoutError after `timeout_seconds`."""
        deadline = time.monotonic() + timeout_seconds
        while self._log.stats().concurrent:
            if time.monotonic() > deadline:
                raise TimeoutError(f"requests are still in flight after {timeout_seconds} s")
            time.sleep(0.005)


def bind(port: int) -> socket.socket:
    """Return a listening socket on 127.0.0.1. Port 0 selects a free port. Raises OSError if the port is in use."""
    # asyncio disables Nagle's algorithm only if the protocol is given; otherwise each response takes 40 ms longer
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the URL of the server that listens on this socket."""
    return f"http://{HOST}:{listener.getsockname()[1]}"


@contextmanager
def running(port: int = 0, *, hang_seconds: float = 120) -> Iterator[ModelServer]:
    """Run a model server in a thread until the context ends."""
    log = RequestLog()
    ready = threading.Event()
    host = Host(Application(log, hang_seconds=hang_seconds), ready.set)
    listener = bind(port)
    thread = threading.Thread(target=host.run, args=([listener],), name="model-server")
    server = ModelServer(url_of(listener), log)
    thread.start()
    try:
        if not ready.wait(10):
            raise TimeoutError("the model server did not start within 10 s")
        yield server
    finally:
        host.should_exit = True
        thread.join()
