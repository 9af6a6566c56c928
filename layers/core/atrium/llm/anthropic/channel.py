"""A way to Claude, and what its failures say. The SDK's own retries are off everywhere: ours are the only ones."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from json import JSONDecodeError
from typing import Protocol

import anthropic
import httpx2
from anthropic.resources.messages import Messages

from atrium.llm.anthropic.answer import AnswerBroken
from atrium.llm.catalogue import ModelInfo
from atrium.llm.connection import CancellableConnection, ConnectionCancelled
from atrium.llm.failures import ProviderFailure, read_advice, read_retry_after

FAILURES = (anthropic.AnthropicError, httpx2.HTTPError, JSONDecodeError, AnswerBroken, ConnectionCancelled)

connection_of_call: ContextVar[CancellableConnection | None] = ContextVar("connection_of_call", default=None)


class Client(Protocol):
    """What the SDK's clients have in common."""

    @property
    def messages(self) -> Messages: ...


@dataclass(frozen=True, slots=True)
class Channel:
    """The client of the moment, and the ids that it knows the models by."""

    name: str
    client: Callable[[], Client]
    model_id: Callable[[ModelInfo], str]
    counts_tokens: bool = True


def describe(error: Exception) -> ProviderFailure:
    """Return what one of `FAILURES` says."""
    match error:
        case anthropic.APIStatusError():
            headers = error.response.headers
            return ProviderFailure(
                type=error.error_code or error.type or "unknown_error",
                status=error.status_code,
                request_id=error.request_id or "",
                retry_after_seconds=read_retry_after(headers, datetime.now(UTC)),
                advice=read_advice(headers),
                cause=error,
            )
        case anthropic.APIConnectionError() | httpx2.TransportError() | ConnectionCancelled():
            return ProviderFailure("connection_error", cause=error)
        case AnswerBroken() | JSONDecodeError() | httpx2.HTTPError():
            return ProviderFailure("broken_answer", cause=error)
        case _:
            return ProviderFailure(type(error).__name__, advice=False, cause=error)


def make_http_client() -> httpx2.Client:
    """Return the HTTP client of a channel, for all threads.

    No connection is kept: one that has slept through a freeze of the function fails the next call, and one that is
    reused does not tell its socket. A new one costs two round trips.
    """
    return anthropic.DefaultHttpxClient(
        limits=httpx2.Limits(max_connections=1_000, max_keepalive_connections=0),
        event_hooks={"request": [_attach_connection]},
    )


def _attach_connection(request: httpx2.Request) -> None:
    """Let the call's connection follow its request."""
    connection = connection_of_call.get()
    if connection is not None:
        request.extensions["trace"] = connection.trace
