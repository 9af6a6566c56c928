"""The `ModelProvider` for Claude: its requests, its stream of events, and the count of a prompt's tokens."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import anthropic
import httpx2
from anthropic import omit
from anthropic._streaming import ServerSentEvent

from atrium.kernel.errors import AtriumError, ProviderUnsupported
from atrium.llm.answer import AnswerBroken
from atrium.llm.anthropic.channel import FAILURES, Channel, describe
from atrium.llm.anthropic.wire import message_params, read_event, system_blocks, tool_choice, tool_params
from atrium.llm.catalogue import ModelInfo
from atrium.llm.connection import CONNECT_SECONDS
from atrium.llm.failures import ProviderFailure
from atrium.llm.model import ModelRequest
from atrium.llm.retries import RetryPolicy
from atrium.llm.streaming import EventReader, StreamingProvider, bounded, draw_jitter
from atrium.llm.tokens import BYTES_PER_TOKEN, bound_tokens, read_figure

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
        system = system_blocks(request.system)
        answered = self.channel.client().messages.with_raw_response.create(
            model=self.channel.model_id(model),
            system=system or omit,
            messages=message_params(request),
            tools=tool_params(request.tools, marked=not system) or omit,
            tool_choice=tool_choice(request) or omit,
            max_tokens=request.max_tokens,
            stop_sequences=list(request.stop_sequences) or omit,
            thinking={"type": "adaptive", "display": "summarized"},
            stream=True,
            timeout=timeout,
        )
        return answered.parse(to=RawEvents)

    def reader(self, _request: ModelRequest) -> EventReader:
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
    system = system_blocks(request.system)
    try:
        counted = channel.client().messages.count_tokens(
            model=channel.model_id(model),
            system=system or omit,
            messages=message_params(request),
            tools=tool_params(request.tools, marked=not system) or omit,
            tool_choice=tool_choice(request) or omit,
            timeout=httpx2.Timeout(COUNT_SECONDS, connect=CONNECT_SECONDS),
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
