"""The `ModelProvider` for OpenAI-compatible APIs: its requests and its stream of events.

The vendors do not count the tokens of a prompt in advance.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
from openai._streaming import ServerSentEvent

from atrium.kernel.errors import ProviderUnsupported
from atrium.llm.answer import AnswerBroken
from atrium.llm.catalogue import ModelInfo
from atrium.llm.failures import ProviderFailure
from atrium.llm.model import ModelRequest
from atrium.llm.openai.channel import FAILURES, OVERFLOW_TYPES, Channel, StreamError, describe
from atrium.llm.openai.wire import DIALECTS, DONE, reader_for, request_params
from atrium.llm.retries import RetryPolicy
from atrium.llm.streaming import EventReader, StreamingProvider, bounded, draw_jitter


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
        body: dict[str, Any] = request_params(request, DIALECTS[self.name])
        answered = self.channel.client().chat.completions.with_raw_response.create(
            model=model.id, stream=True, stream_options={"include_usage": True}, timeout=timeout, **body
        )
        return answered.parse(to=RawChunks)

    def reader(self, request: ModelRequest) -> EventReader:
        return reader_for(request)

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
