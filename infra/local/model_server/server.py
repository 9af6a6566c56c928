"""The model server as an ASGI application: Anthropic's routes under /v1, the inspection routes under /__."""

from dataclasses import asdict

from starlette.types import Receive, Scope, Send

from infra.local.model_server.caller import identify
from infra.local.model_server.catalogue import describe, page
from infra.local.model_server.errors import ApiError
from infra.local.model_server.exchange import ClientClosed, Dropped, Exchange
from infra.local.model_server.journal import Journal
from infra.local.model_server.messages import answer_messages, count_prompt


class Application:
    """The application; a request that hangs is given up after `hang_seconds`."""

    def __init__(self, journal: Journal, *, hang_seconds: float = 120) -> None:
        self._journal = journal
        self._hang_seconds = hang_seconds
        self._live: set[Exchange] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        async with Exchange(scope, receive, send) as exchange:
            self._live.add(exchange)
            try:
                await self._route(exchange)
            except ApiError as error:
                await exchange.send_error(error)
            except (ClientClosed, Dropped):
                return  # unfinished, so that uvicorn closes the connection
            finally:
                self._live.discard(exchange)

    def drop_all(self) -> None:
        """Drop what is in flight, so that the server can stop; call it in the server's loop."""
        for exchange in self._live:
            exchange.drop()

    async def _route(self, exchange: Exchange) -> None:
        match exchange.method, exchange.path:
            case "POST", "/v1/messages":
                await answer_messages(exchange, self._journal, hang_seconds=self._hang_seconds)
            case "POST", "/v1/messages/count_tokens":
                await count_prompt(exchange)
            case "GET", "/v1/models":
                identify(exchange.headers)
                limit, after_id = _number(exchange, "limit", 20), exchange.query.get("after_id")
                models = page(limit=limit, after_id=after_id, before_id=exchange.query.get("before_id"))
                await exchange.send_json(200, models)
            case "GET", path if path.startswith("/v1/models/"):
                identify(exchange.headers)
                await exchange.send_json(200, describe(path.removeprefix("/v1/models/")))
            case "GET", "/__requests":
                records = self._journal.requests(_number(exchange, "after", 0))
                await exchange.send_json(200, {"requests": [asdict(record) for record in records]})
            case "GET", "/__stats":
                await exchange.send_json(200, asdict(self._journal.stats()))
            case "POST", "/__reset":
                self._journal.reset()
                await exchange.send_json(200, {})
            case _:
                raise ApiError(404, f"no such route: {exchange.method} {exchange.path}")


def _number(exchange: Exchange, name: str, default: int) -> int:
    text = exchange.query.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise ApiError(400, f"{name}: Input should be a whole number")
    return int(text)
