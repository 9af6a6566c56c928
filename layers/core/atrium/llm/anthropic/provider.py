"""The `ModelProvider` for Claude: one model call with its retries, as an iterator of events that any thread can close.

The call is made when the stream is iterated, not when it is opened. A stream can therefore be closed before the
provider has responded.
"""

import random
import threading
from collections.abc import Callable, Generator, Iterator
from itertools import count
from typing import Self

import anthropic
import httpx2
from anthropic import omit
from anthropic._streaming import ServerSentEvent

from atrium.kernel.errors import AtriumError, ModelTimeout, ProviderUnsupported
from atrium.llm.answer import AnswerBroken, AnswerBuilder
from atrium.llm.anthropic.channel import FAILURES, Channel, connection_of_call, describe
from atrium.llm.anthropic.wire import message_params, read_event, system_blocks, tool_choice, tool_params
from atrium.llm.catalogue import ModelInfo, check_request
from atrium.llm.connection import CONNECT_SECONDS, CancellableConnection
from atrium.llm.failures import OUTAGE_SILENCE_SECONDS, ProviderFailure
from atrium.llm.model import Completed, ModelEvent, ModelRequest, Usage
from atrium.llm.retries import RetryPolicy, pause_before_retry
from atrium.llm.tokens import BYTES_PER_TOKEN, bound_tokens, read_figure

# Not `random.random`: processes restored from the same snapshot would draw the same pauses.
_DRAW = random.SystemRandom().random


STREAM_BYTES_MAX = 33_554_432
"""Maximum size of one streamed answer in bytes. An answer of 128 000 tokens with one event per token has about 20
MB.
"""
_GRACE_SECONDS = 5.0  # the connection's deadline must end a call before a socket timeout does
COUNT_SECONDS = 30.0
_COUNT_MAX = 1_000_000_000


class RawEvents(anthropic.Stream[object]):
    """The SDK's stream with events as plain JSON. The SDK does not validate its event models, so they are not used."""

    def _iter_events(self) -> Iterator[ServerSentEvent]:
        yield from self._decoder.iter_bytes(_bounded(self.response.iter_bytes()))

    def __stream__(self) -> Iterator[object]:
        try:
            yield from super().__stream__()
        except FAILURES:
            raise
        except Exception as error:  # SDK and botocore only decode here, so invalid data is the cause
            raise AnswerBroken(f"the stream cannot be decoded ({type(error).__name__})") from error


class AnthropicStream:
    """A `ModelStream` from Claude. `draw` returns random numbers from 0 to 1 for the jitter."""

    def __init__(
        self,
        channel: Channel,
        request: ModelRequest,
        model: ModelInfo,
        connection: CancellableConnection,
        policy: RetryPolicy,
        draw: Callable[[], float],
    ) -> None:
        self._channel, self._request, self._model, self._connection = channel, request, model, connection
        self._policy, self._draw = policy, draw
        self._answer = AnswerBuilder(request, model)
        self._has_answered = False
        self._busy = threading.Lock()
        self._events = self._play()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ModelEvent:
        with self._busy:
            return next(self._events)

    @property
    def model(self) -> str:
        return self._model.id

    @property
    def usage(self) -> Usage:
        return self._answer.usage

    def close(self) -> None:
        """End the call. A thread that is waiting for the answer returns immediately. If no thread is waiting, this
        method releases the resources.
        """
        self._connection.cancel("closed")
        if self._busy.acquire(blocking=False):
            try:
                self._events.close()
            finally:
                self._busy.release()

    def _play(self) -> Generator[ModelEvent]:
        with self._connection:
            for retries_made in count():
                failure = yield from self._attempt()
                if failure is None or self._connection.is_closed():
                    return
                if self._overflows(failure):
                    yield Completed((), "context_overflow")
                    return
                self._pause(failure, retries_made)

    def _attempt(self) -> Generator[ModelEvent, None, ProviderFailure | None]:
        self._answer = AnswerBuilder(self._request, self._model)
        response: httpx2.Response | None = None
        try:
            with self._call() as events:
                response = events.response
                for event in events:
                    self._has_answered = True
                    yield from read_event(event, self._answer)
                    if self._answer.is_complete:
                        return None
            self._answer.end()
        except FAILURES as error:
            return describe(error, response)
        return None

    def _call(self) -> RawEvents:
        request, system = self._request, system_blocks(self._request.system)
        seconds = self._connection.remaining_seconds + _GRACE_SECONDS
        token = connection_of_call.set(self._connection)
        try:
            answered = self._channel.client().messages.with_raw_response.create(
                model=self._channel.model_id(self._model),
                system=system or omit,
                messages=message_params(request),
                tools=tool_params(request.tools, marked=not system) or omit,
                tool_choice=tool_choice(request) or omit,
                max_tokens=request.max_tokens,
                stop_sequences=list(request.stop_sequences) or omit,
                thinking={"type": "adaptive", "display": "summarized"},
                stream=True,
                timeout=httpx2.Timeout(seconds, connect=CONNECT_SECONDS),
            )
            return answered.parse(to=RawEvents)
        finally:
            connection_of_call.reset(token)

    def _pause(self, failure: ProviderFailure, retries_made: int) -> None:
        """Wait before the next attempt, or raise the error of the failure.

        There is no retry after the first event, because its text may have been sent to the client, and the call
        may be charged.
        """
        if self._connection.is_expired():
            error = ModelTimeout(internal="the deadline of the call has passed")
            # A shorter silence may be caused by the caller's time limit, which must not be counted against the
            # provider.
            error.is_outage = not self._has_answered and self._connection.seconds >= OUTAGE_SILENCE_SECONDS
            raise error from failure.cause
        pause = None
        if failure.is_retryable and not self._has_answered:
            pause = pause_before_retry(
                self._policy,
                retries_made=retries_made,
                retry_after_seconds=failure.retry_after_seconds,
                draw=self._draw(),
                remaining_seconds=self._connection.remaining_seconds,
            )
        if pause is None:
            raise failure.to_error() from failure.cause
        self._connection.wait(pause)

    def _overflows(self, failure: ProviderFailure) -> bool:
        if failure.status == 413:
            return True
        return failure.status == 400 and exceeds_window(self._channel, self._request, self._model)


def _bounded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    left = STREAM_BYTES_MAX
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise AnswerBroken(f"the stream is longer than {STREAM_BYTES_MAX} bytes")
        yield chunk


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


class AnthropicProvider:
    """Calls Claude models through one channel."""

    def __init__(
        self,
        channel: Channel,
        *,
        policy: RetryPolicy | None = None,
        draw: Callable[[], float] = _DRAW,
    ) -> None:
        self._channel, self._policy, self._draw = channel, policy or RetryPolicy(), draw

    @property
    def name(self) -> str:
        return self._channel.name

    def open(self, request: ModelRequest, *, deadline_seconds: float) -> AnthropicStream:
        """Return the stream of a call. Nothing is sent before the stream is iterated. See `ModelProvider.open`."""
        model = check_request(request)
        return AnthropicStream(
            self._channel, request, model, CancellableConnection(deadline_seconds), self._policy, self._draw
        )

    def count_tokens(self, request: ModelRequest) -> int:
        """Return the number of tokens of a prompt. Takes at most 30 s. See `ModelProvider.count_tokens`."""
        return count_tokens(self._channel, request, check_request(request))
