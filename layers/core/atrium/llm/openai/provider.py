"""The `ModelProvider` for OpenAI-compatible APIs: its channels, requests and failures.

The SDK's retries are disabled; only `llm.retries` applies. OpenAI describes an error with `type` and `code`
(platform.openai.com/docs/guides/error-codes), Zhipu with a number as `code` (docs.z.ai/api-reference/api-code). The
vendors do not count the tokens of a prompt in advance.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
import openai
from openai import OpenAI
from openai._streaming import ServerSentEvent

from atrium.kernel.errors import ProviderUnsupported
from atrium.llm.answer import AnswerBroken
from atrium.llm.catalogue import ModelInfo
from atrium.llm.connection import ConnectionCancelled, KeyedClient, shared_http_client
from atrium.llm.failures import ProviderFailure, read_advice, read_retry_after, read_word
from atrium.llm.model import ModelRequest
from atrium.llm.openai.wire import DIALECTS, DONE, ChunkReader, StreamError, request_params
from atrium.llm.retries import RetryPolicy
from atrium.llm.streaming import EventReader, StreamingProvider, bounded, describe_interruption, draw_jitter

API_URLS: Mapping[str, str] = {"openai": "https://api.openai.com/v1", "zhipu": "https://api.z.ai/api/paas/v4"}
OVERFLOW_TYPES = frozenset({"context_length_exceeded", "1261"})
"""The codes of a prompt that exceeds the context window."""
_PERMANENT_TYPES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "1112", "1113", "1121"})
"""The codes of a blocked account or an exhausted balance, which have the status 429 but do not end by waiting."""
_TYPES: Mapping[str, str] = {
    "server_error": "api_error",
    "internal_server_error": "api_error",
    "network_error": "api_error",
    "500": "api_error",
    "1234": "api_error",
    "overloaded": "overloaded_error",
    "engine_overloaded": "overloaded_error",
    "server_is_overloaded": "overloaded_error",
    "1305": "overloaded_error",
    "1312": "overloaded_error",
    "rate_limit_exceeded": "rate_limit_error",
    "1302": "rate_limit_error",
    "1303": "rate_limit_error",
    "timeout": "timeout_error",
}
"""The failure types of `llm.failures` by the codes and types that the providers send."""


FAILURES = (openai.OpenAIError, httpx2.HTTPError, AnswerBroken, ConnectionCancelled, StreamError)


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel to one vendor. `client` returns the current client."""

    name: str
    client: Callable[[], OpenAI]


def direct_channel(vendor: str, base_url: str, api_key: Callable[[], str]) -> Channel:
    """Return the channel to a base URL, or to the vendor's API if it is empty. `api_key` is called for each model
    call.
    """

    def make(key: str) -> OpenAI:
        return OpenAI(api_key=key, base_url=base_url or API_URLS[vendor], max_retries=0, http_client=http)

    http = shared_http_client(openai.DefaultHttpxClient)
    return Channel(vendor, KeyedClient(make, api_key))


def describe(error: Exception, response: httpx2.Response | None = None) -> ProviderFailure:
    """Return the description of an exception from `FAILURES`. `response` is the response that had started before the
    exception, if there was one.
    """
    if isinstance(error, openai.APIStatusError):
        response = error.response
    headers = response.headers if response is not None else httpx2.Headers()
    request_id = read_word(headers.get("x-request-id", ""))
    match error:
        case openai.APIStatusError():
            kind = read_type(error.code, error.type)
            return ProviderFailure(
                type=kind or "unknown_error",
                status=error.status_code,
                request_id=request_id,
                retry_after_seconds=read_retry_after(headers, datetime.now(UTC)),
                advice=False if kind in _PERMANENT_TYPES else read_advice(headers),
                cause=error,
            )
        case StreamError():
            kind = read_type(*error.sent) or "unknown_error"
            status = response.status_code if response is not None else None
            return ProviderFailure(kind, status, request_id, cause=error)
        case _:
            return describe_interruption(error, request_id, lost=openai.APIConnectionError)


def read_type(*sent: object) -> str:
    """Return the failure type for the code and type of an error. Return "" if neither is a short identifier."""
    words = [word for word in (read_word(str(each) if isinstance(each, int) else each) for each in sent) if word]
    known = next((_TYPES[word] for word in words if word in _TYPES), None)
    return known or next(iter(words), "")


class RawChunks(openai.Stream[object]):
    """The SDK's stream with chunks as plain JSON, which the SDK does not validate. The last event is `DONE`."""

    def _iter_events(self) -> Iterator[ServerSentEvent]:
        yield from self._decoder.iter_bytes(bounded(self.response.iter_bytes()))

    def __stream__(self) -> Iterator[object]:
        try:
            for sent in self._iter_events():
                if sent.data.startswith("[DONE]"):
                    yield DONE
                    return
                chunk = sent.json()
                if isinstance(chunk, dict) and chunk.get("error"):
                    raise _read_error(chunk["error"])
                yield chunk
        except FAILURES:
            raise
        except Exception as error:  # the SDK only decodes here, so invalid data is the cause
            raise AnswerBroken(f"the stream cannot be decoded ({type(error).__name__})") from error
        finally:
            self.response.close()


def _read_error(error: object) -> StreamError:
    return StreamError(error.get("code"), error.get("type")) if isinstance(error, dict) else StreamError()


@dataclass(frozen=True, slots=True)
class OpenAIWire:
    """The Chat Completions API of one vendor."""

    channel: Channel
    failures: tuple[type[Exception], ...] = FAILURES

    @property
    def name(self) -> str:
        return self.channel.name

    def send(self, request: ModelRequest, model: ModelInfo, timeout: httpx2.Timeout) -> RawChunks:
        body: dict[str, Any] = request_params(request, model, DIALECTS[self.name])
        answered = self.channel.client().chat.completions.with_raw_response.create(
            model=model.id, stream=True, stream_options={"include_usage": True}, timeout=timeout, **body
        )
        return answered.parse(to=RawChunks)

    def list_models(self, timeout: httpx2.Timeout) -> None:
        with self.channel.client().models.with_streaming_response.list(timeout=timeout):
            pass

    def reader(self) -> EventReader:
        return ChunkReader()

    def describe(self, error: Exception, response: httpx2.Response | None) -> ProviderFailure:
        return describe(error, response)

    def overflows(self, failure: ProviderFailure, _request: ModelRequest, _model: ModelInfo) -> bool:
        return failure.status == 400 and failure.type in OVERFLOW_TYPES

    def count_tokens(self, _request: ModelRequest, _model: ModelInfo) -> int:
        raise ProviderUnsupported(f"The provider {self.name} does not count tokens.")


class OpenAIProvider(StreamingProvider):
    """Calls models of one vendor."""

    def __init__(
        self, channel: Channel, *, policy: RetryPolicy | None = None, draw: Callable[[], float] = draw_jitter
    ) -> None:
        super().__init__(OpenAIWire(channel), policy=policy, draw=draw)
