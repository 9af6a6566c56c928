"""The `ModelProvider` for Claude: its channels, requests and failures, and the count of a prompt's tokens.

The channels are Anthropic's API (or a server with the same interface) and Amazon Bedrock. The SDK's retries are
disabled; only `llm.retries` applies. Bedrock requests are signed with the function's IAM role. Bedrock model ids are
inference profiles: a geography (such as `global`, `us`, `eu` or `jp`), a dot and the model's Bedrock id. The geography
determines where prompts may be processed. Bedrock does not count tokens.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Protocol

import anthropic
import httpx2
from anthropic import Anthropic, omit
from anthropic._streaming import ServerSentEvent
from anthropic.lib.bedrock import AnthropicBedrock
from anthropic.resources.messages import Messages

from atrium.kernel.errors import AtriumError, ProviderUnsupported
from atrium.llm.answer import AnswerBroken
from atrium.llm.anthropic.wire import prompt_params, read_event
from atrium.llm.catalogue import ModelInfo
from atrium.llm.connection import (
    CONNECT_SECONDS,
    ConnectionCancelled,
    KeyedClient,
    make_http_client,
    shared_http_client,
)
from atrium.llm.failures import ProviderFailure, read_advice, read_retry_after, read_word
from atrium.llm.model import ModelRequest
from atrium.llm.retries import RetryPolicy
from atrium.llm.streaming import EventReader, StreamingProvider, bounded, describe_interruption, draw_jitter
from atrium.llm.tokens import BYTES_PER_TOKEN, bound_tokens, read_figure

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
        case _:
            return describe_interruption(error, request_id, lost=anthropic.APIConnectionError)


def keyed_client(base_url: str, api_key: Callable[[], str]) -> KeyedClient[Anthropic]:
    def make(key: str) -> Anthropic:
        return Anthropic(
            api_key=key,
            base_url=base_url,
            max_retries=0,
            http_client=http,
            open_telemetry=False,
            # The SDK sends the key as a bearer token; servers that emulate the API may accept only this header.
            default_headers={"x-api-key": key},
        )

    http = shared_http_client(anthropic.DefaultHttpxClient)
    return KeyedClient(make, api_key)


def direct_channel(base_url: str, api_key: Callable[[], str]) -> Channel:
    """Return the channel to a base URL, or to Anthropic's API if it is empty. `api_key` is called for each model
    call.
    """
    return Channel("anthropic", keyed_client(base_url or API_URL, api_key), lambda model: model.id)


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


COUNT_SECONDS = 30.0
_COUNT_MAX = 1_000_000_000


class RawEvents(anthropic.Stream[object]):
    """The SDK's stream with events as plain JSON. The SDK does not validate its event models, so they are not used."""

    def _iter_events(self) -> Iterator[ServerSentEvent]:
        yield from self._decoder.iter_bytes(bounded(self.response.iter_bytes()))

    def __stream__(self) -> Iterator[object]:
        try:
            yield from super().__stream__()
        except FAILURES:
            raise
        except Exception as error:  # SDK and botocore only decode here, so invalid data is the cause
            raise AnswerBroken(f"the stream cannot be decoded ({type(error).__name__})") from error


@dataclass(frozen=True, slots=True)
class AnthropicWire:
    """Anthropic's Messages API, called through a channel."""

    channel: Channel
    failures: tuple[type[Exception], ...] = FAILURES

    @property
    def name(self) -> str:
        return self.channel.name

    def send(self, request: ModelRequest, model: ModelInfo, timeout: httpx2.Timeout) -> RawEvents:
        answered = self.channel.client().messages.with_raw_response.create(
            model=self.channel.model_id(model),
            max_tokens=request.max_tokens,
            stop_sequences=list(request.stop_sequences) or omit,
            stream=True,
            timeout=timeout,
            **prompt_params(request, model),
        )
        return answered.parse(to=RawEvents)

    def list_models(self, timeout: httpx2.Timeout) -> None:
        client = self.channel.client()
        if not isinstance(client, Anthropic):
            raise ProviderUnsupported(f"The provider {self.name} uses no API keys.")
        with client.models.with_streaming_response.list(limit=1, timeout=timeout):
            pass

    def reader(self) -> EventReader:
        return read_event

    def describe(self, error: Exception, response: httpx2.Response | None) -> ProviderFailure:
        return describe(error, response)

    def overflows(self, failure: ProviderFailure, request: ModelRequest, model: ModelInfo) -> bool:
        return failure.status == 400 and exceeds_window(self.channel, request, model)

    def count_tokens(self, request: ModelRequest, model: ModelInfo) -> int:
        return count_tokens(self.channel, request, model)


def count_tokens(channel: Channel, request: ModelRequest, model: ModelInfo) -> int:
    """Return the number of tokens of a prompt. The call is not retried.

    Raises `ModelFailed`, `ModelTimeout` or `ProviderUnsupported`.
    """
    if not channel.counts_tokens:
        raise ProviderUnsupported(f"The provider {channel.name} does not count tokens.")
    try:
        counted = channel.client().messages.count_tokens(
            model=channel.model_id(model),
            timeout=httpx2.Timeout(COUNT_SECONDS, connect=CONNECT_SECONDS),
            **prompt_params(request, model),
        )
    except FAILURES as error:
        raise describe(error).to_error() from error
    except (ValueError, RecursionError) as error:
        raise describe(AnswerBroken("the count is not JSON in UTF-8")).to_error() from error
    figure = read_figure(getattr(counted, "input_tokens", None), _COUNT_MAX)
    if figure is None:
        raise describe(AnswerBroken("the count is not a whole number")).to_error()
    return figure


def exceeds_window(channel: Channel, request: ModelRequest, model: ModelInfo) -> bool:
    """Return whether a rejected prompt is too long for the model.

    The API has no error code for this case, and error messages must not be matched. Instead, the tokens of the prompt
    are counted. If the count fails, they are estimated from the bytes.
    """
    bound = bound_tokens(request)
    if bound <= model.context_tokens:
        return False
    try:
        return count_tokens(channel, request, model) > model.context_tokens
    except AtriumError:
        return bound // BYTES_PER_TOKEN > model.context_tokens


class AnthropicProvider(StreamingProvider):
    """Calls Claude models through one channel."""

    def __init__(
        self, channel: Channel, *, policy: RetryPolicy | None = None, draw: Callable[[], float] = draw_jitter
    ) -> None:
        super().__init__(AnthropicWire(channel), policy=policy, draw=draw)
