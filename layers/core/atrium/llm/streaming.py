"""One model call with its retries, as an iterator of events that any thread can close. All adapters use this module.

An adapter implements `Wire`: it sends one request, reads its events and describes its failures. The call is made when
the stream is iterated, not when it is opened. A stream can therefore be closed before the provider has responded.
"""

import random
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from itertools import count
from types import TracebackType
from typing import Protocol, Self

import httpx2

from atrium.kernel.errors import ModelTimeout
from atrium.llm.answer import AnswerBroken, AnswerBuilder
from atrium.llm.catalogue import ModelInfo, check_request
from atrium.llm.connection import CONNECT_SECONDS, CancellableConnection, ConnectionCancelled, connection_of_call
from atrium.llm.failures import OUTAGE_SILENCE_SECONDS, ProviderFailure
from atrium.llm.model import Completed, ModelEvent, ModelRequest, Thinking, Usage, turn_start
from atrium.llm.normalise import without_thinking
from atrium.llm.retries import RetryPolicy, pause_before_retry

# Not `random.random`: processes restored from the same snapshot would draw the same pauses.
draw_jitter = random.SystemRandom().random

STREAM_BYTES_MAX = 33_554_432
"""Maximum size of one streamed answer in bytes. An answer of 128 000 tokens with one event per token has about 20
MB.
"""
KEY_CHECK_SECONDS = 5.0
"""The maximum duration of the check of an API key."""
_GRACE_SECONDS = 5.0  # the connection's deadline must end a call before a socket timeout does

type EventReader = Callable[[object, AnswerBuilder], Iterator[ModelEvent]]
"""Reads one event of a stream into the answer. Raises `AnswerBroken` if the event is invalid."""


class RawStream(Protocol):
    """A response whose events are plain JSON. The SDKs' streams have this interface."""

    @property
    def response(self) -> httpx2.Response: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def __iter__(self) -> Iterator[object]: ...


def describe_interruption(error: Exception, request_id: str, *, lost: type[Exception]) -> ProviderFailure:
    """Return the description of an exception that is no error response. `lost` is the SDK's error of a connection."""
    if isinstance(error, lost | httpx2.TransportError | ConnectionCancelled):
        return ProviderFailure("connection_error", request_id=request_id, cause=error)
    if isinstance(error, AnswerBroken | httpx2.HTTPError):
        reason = str(error) if isinstance(error, AnswerBroken) else type(error).__name__
        return ProviderFailure("broken_answer", request_id=request_id, reason=reason, cause=error)
    return ProviderFailure(type(error).__name__, request_id=request_id, advice=False, cause=error)


class Wire(Protocol):
    """A provider's wire format, called with its SDK. `failures` are the exceptions that `describe` accepts."""

    @property
    def name(self) -> str: ...

    @property
    def failures(self) -> tuple[type[Exception], ...]: ...

    def send(self, request: ModelRequest, model: ModelInfo, timeout: httpx2.Timeout) -> RawStream:
        """Send a request and return its response once the headers have been received."""
        ...

    def list_models(self, timeout: httpx2.Timeout) -> None:
        """List the provider's models, only to check the API key. The body of the response is not read."""
        ...

    def reader(self) -> EventReader:
        """Return the reader of one response."""
        ...

    def describe(self, error: Exception, response: httpx2.Response | None) -> ProviderFailure:
        """Describe a failure. `response` is the response that had started before it, if there was one."""
        ...

    def overflows(self, failure: ProviderFailure, request: ModelRequest, model: ModelInfo, /) -> bool:
        """Return whether the provider rejected the prompt because it exceeds the context window."""
        ...

    def count_tokens(self, request: ModelRequest, model: ModelInfo, /) -> int:
        """See `ModelProvider.count_tokens`."""
        ...


class ProviderStream:
    """The `ModelStream` of all adapters. `draw` returns random numbers from 0 to 1 for the jitter."""

    def __init__(
        self,
        wire: Wire,
        request: ModelRequest,
        model: ModelInfo,
        connection: CancellableConnection,
        policy: RetryPolicy,
        draw: Callable[[], float],
    ) -> None:
        self._wire, self._request, self._model, self._connection = wire, request, model, connection
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
                if failure.status == 400 and _has_thinking(self._request):
                    # Only the provider can verify a signature, and it rejects those of another account or conversation.
                    self._request = replace(self._request, messages=without_thinking(self._request.messages))
                    continue
                if failure.status == 413 or self._wire.overflows(failure, self._request, self._model):
                    yield Completed((), "context_overflow")
                    return
                self._pause(failure, retries_made)

    def _attempt(self) -> Generator[ModelEvent, None, ProviderFailure | None]:
        self._answer, read = AnswerBuilder(self._request, self._model), self._wire.reader()
        response: httpx2.Response | None = None
        try:
            with self._send() as events:
                response = events.response
                for event in events:
                    self._has_answered = True
                    yield from read(event, self._answer)
                    if self._answer.is_complete:
                        return None
            self._answer.end()
        except self._wire.failures as error:
            return self._wire.describe(error, response)
        return None

    def _send(self) -> RawStream:
        seconds = self._connection.remaining_seconds + _GRACE_SECONDS
        token = connection_of_call.set(self._connection)
        try:
            return self._wire.send(self._request, self._model, httpx2.Timeout(seconds, connect=CONNECT_SECONDS))
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


def _has_thinking(request: ModelRequest) -> bool:
    """Return whether the current turn has thinking blocks. Those of earlier turns are not sent."""
    turn = request.messages[turn_start(request.messages) :]
    return any(isinstance(block, Thinking) for message in turn for block in message.content)


def bounded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks of a response. Raise `AnswerBroken` if they exceed `STREAM_BYTES_MAX`."""
    left = STREAM_BYTES_MAX
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise AnswerBroken(f"the stream is longer than {STREAM_BYTES_MAX} bytes")
        yield chunk


class StreamingProvider:
    """A `ModelProvider` that calls models through a wire."""

    def __init__(
        self, wire: Wire, *, policy: RetryPolicy | None = None, draw: Callable[[], float] = draw_jitter
    ) -> None:
        self._wire, self._policy, self._draw = wire, policy or RetryPolicy(), draw

    @property
    def name(self) -> str:
        return self._wire.name

    def open(self, request: ModelRequest, *, deadline_seconds: float) -> ProviderStream:
        """Return the stream of a call. Nothing is sent before the stream is iterated. See `ModelProvider.open`."""
        model = check_request(request)
        connection = CancellableConnection(deadline_seconds)
        return ProviderStream(self._wire, request, model, connection, self._policy, self._draw)

    def check_key(self) -> None:
        """Make one authenticated call without cost, which is not retried. Takes at most `KEY_CHECK_SECONDS`.

        Raises `ModelFailed`, with the status 401 or 403 for an API key that is not valid, or `ModelTimeout`.
        """
        connection = CancellableConnection(KEY_CHECK_SECONDS)
        token = connection_of_call.set(connection)
        try:
            with connection:
                self._wire.list_models(httpx2.Timeout(KEY_CHECK_SECONDS, connect=CONNECT_SECONDS))
        except self._wire.failures as error:
            if connection.is_expired():
                raise ModelTimeout(internal="the provider did not answer the check of a key in time") from error
            raise self._wire.describe(error, None).to_error() from error
        finally:
            connection_of_call.reset(token)

    def count_tokens(self, request: ModelRequest) -> int:
        """Return the number of tokens of a prompt. Takes at most 30 s. See `ModelProvider.count_tokens`."""
        return self._wire.count_tokens(request, check_request(request))
