"""Channels to Claude, and the translation of their failures.

The channels are Anthropic's API (or a server with the same interface) and Amazon Bedrock. The SDK's retries are
disabled; only `llm.retries` applies. Bedrock requests are signed with the function's IAM role. Bedrock model ids are
inference profiles: a geography (such as `global`, `us`, `eu` or `jp`), a dot and the model's Bedrock id. The geography
determines where prompts may be processed. Bedrock does not count tokens.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Protocol

import anthropic
import httpx2
from anthropic import Anthropic
from anthropic.lib.bedrock import AnthropicBedrock
from anthropic.resources.messages import Messages

from atrium.llm.answer import AnswerBroken
from atrium.llm.catalogue import ModelInfo
from atrium.llm.connection import ConnectionCancelled
from atrium.llm.failures import ProviderFailure, read_advice, read_retry_after, read_word
from atrium.llm.transport import make_http_client

FAILURES = (anthropic.AnthropicError, httpx2.HTTPError, AnswerBroken, ConnectionCancelled)
API_URL = "https://api.anthropic.com"
REQUEST_ID_HEADERS = ("request-id", "x-amzn-requestid")


class ModelClient(Protocol):
    """The common interface of the SDK's clients."""

    @property
    def messages(self) -> Messages: ...


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel to Claude. `client` returns the current client. `model_id` returns the channel's id of a model."""

    name: str
    client: Callable[[], ModelClient]
    model_id: Callable[[ModelInfo], str]
    counts_tokens: bool = True


def describe(error: Exception, response: httpx2.Response | None = None) -> ProviderFailure:
    """Return the description of an exception from `FAILURES`. `response` is the response that had started before the
    exception, if there was one.
    """
    if isinstance(error, anthropic.APIStatusError):
        response = error.response
    status = response.status_code if response is not None else None
    headers = response.headers if response is not None else httpx2.Headers()
    request_id = read_word(next((headers[name] for name in REQUEST_ID_HEADERS if name in headers), ""))
    match error:
        case anthropic.APIStatusError():
            return ProviderFailure(
                type=read_word(error.error_code or error.type) or "unknown_error",
                status=status,
                request_id=request_id,
                retry_after_seconds=read_retry_after(headers, datetime.now(UTC)),
                advice=read_advice(headers),
                cause=error,
            )
        case anthropic.APIConnectionError() | httpx2.TransportError() | ConnectionCancelled():
            return ProviderFailure("connection_error", request_id=request_id, cause=error)
        case AnswerBroken():
            return ProviderFailure("broken_answer", request_id=request_id, reason=str(error), cause=error)
        case httpx2.HTTPError():
            return ProviderFailure("broken_answer", request_id=request_id, reason=type(error).__name__, cause=error)
        case _:
            return ProviderFailure(type(error).__name__, request_id=request_id, advice=False, cause=error)


class DirectClient:
    """Creates the client for the current API key, and a new client after the API key was rotated."""

    def __init__(self, base_url: str, api_key: Callable[[], str]) -> None:
        self._base_url, self._api_key = base_url, api_key
        self._lock = threading.Lock()
        self._http = make_http_client(anthropic.DefaultHttpxClient)
        self._client: Anthropic | None = None

    def __call__(self) -> Anthropic:
        key = self._api_key()
        with self._lock:
            if self._client is None or self._client.api_key != key:
                self._client = Anthropic(
                    api_key=key,
                    base_url=self._base_url,
                    max_retries=0,
                    http_client=self._http,
                    open_telemetry=False,
                    # The SDK sends the key as a bearer token; servers that emulate the API may accept only this header.
                    default_headers={"x-api-key": key},
                )
            return self._client


def direct_channel(base_url: str, api_key: Callable[[], str]) -> Channel:
    """Return the channel to a base URL, or to Anthropic's API if it is empty. `api_key` is called for each model
    call.
    """
    return Channel("anthropic", DirectClient(base_url or API_URL, api_key), lambda model: model.id)


def bedrock_channel(geography: str, *, base_url: str | None = None) -> Channel:
    """Return the channel through the `bedrock-runtime` endpoint of the Region. The SDK finds credentials and Region in
    the same way as boto3.
    """

    @cache
    def client() -> AnthropicBedrock:
        http = make_http_client(anthropic.DefaultHttpxClient)
        return AnthropicBedrock(base_url=base_url, max_retries=0, http_client=http, open_telemetry=False)

    def model_id(model: ModelInfo) -> str:
        return f"{geography}.{model.bedrock_id}"

    return Channel("bedrock", client, model_id, counts_tokens=False)
