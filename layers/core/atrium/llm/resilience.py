"""Model calls under a circuit breaker, with fallback models.

A request names its model and at most two fallbacks. The next model is asked if a call fails before any event of its
answer, and the failure is one that passes by itself: the provider's retries are used up (`llm.retries`), or the model's
circuit is open. After the first event there is no fallback, because its text may have been sent to the client.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

from atrium.kernel.errors import AtriumError, CircuitOpen, ModelFailed, ModelTimeout, ProviderUnsupported
from atrium.llm.catalogue import ModelInfo, find_model
from atrium.llm.circuit import CircuitBreaker
from atrium.llm.model import ModelEvent, ModelProvider, ModelRequest, ModelStream, Thinking, Usage

FALLBACKS_MAX = 2


@dataclass(frozen=True, slots=True)
class ResilientProvider:
    """The provider of all models. `find` returns the adapter of one, or raises `ProviderUnsupported`."""

    find: Callable[[ModelInfo], ModelProvider]
    breaker: CircuitBreaker
    name: str = "resilient"

    def require(self, model: ModelInfo) -> ModelProvider:
        """Return this provider; `ProviderUnsupported` if the deployment has no adapter for the model."""
        self.find(model)
        return self

    def open(self, request: ModelRequest, *, deadline_seconds: float) -> "ResilientStream":
        return ResilientStream(self, request, deadline_seconds)

    def count_tokens(self, request: ModelRequest) -> int:
        return self.find(_model(request.model)).count_tokens(request)


class ResilientStream:
    """See `ModelStream`; `model` is the one that was asked last."""

    def __init__(self, provider: ResilientProvider, request: ModelRequest, deadline_seconds: float) -> None:
        self._provider, self._request = provider, request
        self._deadline = time.monotonic() + deadline_seconds
        self._stream: ModelStream | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._events = self._play()
        self.model = request.model

    def __iter__(self) -> Iterator[ModelEvent]:
        return self._events

    @property
    def usage(self) -> Usage:
        return self._stream.usage if self._stream else Usage()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            stream = self._stream
        if stream is not None:
            stream.close()

    def _play(self) -> Generator[ModelEvent]:
        models = (self._request.model, *self._request.fallbacks)
        for at, model_id in enumerate(models):
            has_begun = False
            try:
                for event in self._ask(model_id):
                    has_begun = True
                    yield event
            except (ModelFailed, ModelTimeout, CircuitOpen, ProviderUnsupported) as error:
                is_last = at + 1 == len(models) or time.monotonic() >= self._deadline
                if has_begun or is_last or self._closed or not _may_pass(error):
                    raise
            else:
                return

    def _ask(self, model_id: str) -> Iterator[ModelEvent]:
        model, breaker = _model(model_id), self._provider.breaker
        adapter = self._provider.find(model)
        breaker.admit(model_id)
        remaining = max(0.0, self._deadline - time.monotonic())
        with self._lock:
            if self._closed:
                return
            self.model = model_id
            self._stream = adapter.open(_adapt(self._request, model), deadline_seconds=remaining)
        try:
            yield from self._stream
        except (ModelFailed, ModelTimeout) as error:
            if error.is_outage:
                breaker.record_outage(model_id)
            raise
        if not self._closed:
            breaker.record_success(model_id)


def _may_pass(error: AtriumError) -> bool:
    return error.retryable or isinstance(error, ProviderUnsupported)


def _adapt(request: ModelRequest, model: ModelInfo) -> ModelRequest:
    """Return the request for a model. A fallback gets no thinking of another model, and its own longest answer."""
    if model.id == request.model:
        return request
    messages = tuple(
        replace(each, content=tuple(block for block in each.content if not isinstance(block, Thinking)))
        for each in request.messages
    )
    return replace(
        request,
        model=model.id,
        fallbacks=(),
        messages=tuple(each for each in messages if each.content),
        max_tokens=min(request.max_tokens, model.output_tokens_max),
    )


def _model(model_id: str) -> ModelInfo:
    model = find_model(model_id)
    if model is None:
        raise ProviderUnsupported(f"The model {model_id} is not in the catalogue.")
    return model
