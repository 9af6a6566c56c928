"""Model calls with a circuit breaker and fallback models.

A request names its model and at most two fallbacks. The next model is called if a call fails before the first event of
its answer, and the failure is temporary: the provider's retries are used up (`llm.retries`), or the model's circuit is
open. After the first event there is no fallback, because its text may have been sent to the client. After reported
usage there is also no fallback, because this usage is charged. Fallback models that do not accept the options of the
request are skipped.

Each model has a circuit breaker, shared between all containers:

    closed    ── 5 outages within 60 s ──────────> open
    open      ── after 30 s ─────────────────────> half-open
    half-open ── 3 successful trials ────────────> closed
    half-open ── an outage ──────────────────────> open

An outage is a failure of the provider itself (see `ProviderFailure.is_outage`). Rejected requests, rate limits and
calls that ended at a short deadline of the caller are not outages, so a tenant cannot open the circuit for other
tenants. While a circuit is half-open, three trial calls may start in 30 seconds.

A model that is called with a tenant's own API key has a circuit for this tenant alone, because an account can fail
while the provider works for others. If the provider rejects such a key, the call fails with `ModelKeyRejected`: there
is no retry, no fallback, and no call with the platform's key.

The state of a circuit is one item, written by compare-and-set when an outage, a trial or a success changes it. Each
container caches the state for 10 s. A healthy model therefore costs one read per container every 10 s, and no write. If
the table does not respond, calls are made as if the circuit were closed.

Each container also measures how long each model takes to begin an answer. Model routing uses these latencies.
"""

import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cachetools import TTLCache

from atrium.kernel.clock import Clock
from atrium.kernel.errors import (
    AtriumError,
    CircuitOpen,
    ConditionFailed,
    ModelFailed,
    ModelKeyRejected,
    ModelTimeout,
    ProviderUnsupported,
    Unavailable,
    ValidationFailed,
)
from atrium.llm.catalogue import ModelInfo, check_options, find_model
from atrium.llm.circuit import CircuitState
from atrium.llm.content import IMAGE_OMITTED, omit_images
from atrium.llm.model import ModelEvent, ModelProvider, ModelRequest, ModelStream, Usage
from atrium.llm.normalise import without_thinking
from atrium.storage import platform_keys
from atrium.storage.table import PlatformTable
from atrium.storage.writes import NEW, Put

FALLBACKS_MAX = 2
REMEMBERED_SECONDS = 10
LATENCY_SHARE = 0.2
"""The share of the newest measurement in the moving average of a latency."""
_MODELS_MAX = 256
_ATTEMPTS = 5
_KEPT_SECONDS = 86_400
_KEY_REJECTED = frozenset({401, 403})


@dataclass(slots=True)
class CircuitBreaker:
    """The circuit breakers of all models, with a cache in each container. Thread-safe."""

    table: PlatformTable
    clock: Clock
    _known: TTLCache[str, CircuitState] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._known = TTLCache(_MODELS_MAX, REMEMBERED_SECONDS, timer=lambda: self.clock().timestamp())

    def admit(self, model_id: str) -> bool:
        """Return whether the call is a trial, which must end with `record_success`, `record_outage` or `release_trial`.

        If no call is allowed, raises `CircuitOpen` with the time until the next trial.
        """

        def begin(found: CircuitState, now: int) -> CircuitState:
            wait = found.wait_seconds(now)
            if wait > 0:
                raise CircuitOpen(internal=f"circuit of {model_id}", retry_after_seconds=wait)
            return found if found.is_closed else found.with_trial(now)

        try:
            if not self._find(model_id).opened_at:
                return False
            state = self._change(model_id, begin)
        except CircuitOpen:
            raise
        except Unavailable:
            return False
        if state is None:
            raise CircuitOpen(internal=f"the circuit of {model_id} changed in every attempt", retry_after_seconds=1)
        return not state.is_closed

    def wait_seconds(self, model_id: str) -> int:
        """Return 0 if a call of a model is allowed now, otherwise the seconds until the next trial may start."""
        try:
            return self._find(model_id).wait_seconds(int(self.clock().timestamp()))
        except Unavailable:
            return 0

    def record_outage(self, model_id: str) -> None:
        """Record an outage of the provider."""
        self._record(model_id, lambda found, now: found.with_outage(now))

    def record_success(self, model_id: str) -> None:
        """Record the success of a trial."""
        self._record(model_id, lambda found, _now: found.with_success())

    def release_trial(self, model_id: str) -> None:
        """Record that a trial ended without a result: it was cancelled, rejected or rate limited."""
        self._record(model_id, lambda found, _now: found.without_trial())

    def _record(self, model_id: str, change: Callable[[CircuitState, int], CircuitState]) -> None:
        try:
            self._change(model_id, change)
        except Unavailable:
            return

    def _change(self, model_id: str, change: Callable[[CircuitState, int], CircuitState]) -> CircuitState | None:
        """Apply a change to the stored state and return the new state, or None if every attempt failed because of a
        concurrent write.
        """
        for _ in range(_ATTEMPTS):
            found, now = self._read(model_id), int(self.clock().timestamp())
            wanted = change(found, now)
            if wanted == found or self._write(model_id, wanted, now):
                return wanted
        return None

    def _find(self, model_id: str) -> CircuitState:
        with self._lock:
            known = self._known.get(model_id)
        return known or self._read(model_id)

    def _read(self, model_id: str) -> CircuitState:
        item = self.table.get(platform_keys.circuit(model_id)) or {}
        state = CircuitState(**{name: int(item.get(name, 0)) for name in CircuitState.__slots__})
        self._remember(model_id, state)
        return state

    def _write(self, model_id: str, state: CircuitState, now: int) -> bool:
        """Store a state if the item was not changed since the read. Return whether the state was stored. A retry after
        a lost reply is also a success.
        """
        written = replace(state, version=state.version + 1)
        mark = uuid.uuid4().hex
        item: dict[str, Any] = {**asdict(written), "mark": mark, "ttl": now + _KEPT_SECONDS}
        condition = f"({NEW}) OR #version = :seen" if state.version == 0 else "#version = :seen"
        try:
            self.table.write(Put(platform_keys.circuit(model_id), item, condition, {"seen": state.version}))
        except ConditionFailed as error:
            if not error.item or error.item.get("mark") != mark:
                return False
        self._remember(model_id, written)
        return True

    def _remember(self, model_id: str, state: CircuitState) -> None:
        with self._lock:
            self._known[model_id] = state


def circuit_name(model_id: str, tenant_id: str = "") -> str:
    """Return the name of a model's circuit: that of the platform's key, or that of a tenant's own key."""
    return f"{tenant_id}|{model_id}" if tenant_id else model_id


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of one model, with the provider's retries. `error` is the code of its failure.

    `interrupted`: the caller closed the stream before its end.
    """

    model: str
    seconds: float
    usage: Usage
    error: str | None = None
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class ModelLatencies:
    """Moving averages of the seconds from a call to the first event of its answer, by model, with all retries."""

    averages: dict[str, float] = field(default_factory=dict)

    def record(self, model_id: str, seconds: float) -> None:
        known = self.averages.get(model_id, seconds)
        self.averages[model_id] = known + LATENCY_SHARE * (seconds - known)


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A model that is called with a tenant's own API key: its adapter, and the name of its circuit.

    `on_rejected` is called with the model's id and the status if the provider rejects the key.
    """

    adapter: ModelProvider
    circuit: str
    on_rejected: Callable[[str, int], object]


@dataclass(frozen=True, slots=True)
class ResilientProvider:
    """A model provider with circuit breakers and fallbacks. `find` returns the adapter of a model, or raises
    `ProviderUnsupported`. `on_call` is called after each model call. `find_own` returns a model that is called with the
    tenant's own API key, or None for the platform's key.
    """

    find: Callable[[ModelInfo], ModelProvider]
    breaker: CircuitBreaker
    on_call: Callable[[ModelCall], object] = lambda _call: None
    latencies: ModelLatencies = field(default_factory=ModelLatencies)
    find_own: Callable[[ModelInfo], OwnModel | None] = lambda _model: None
    name: str = "resilient"

    def require(self, model: ModelInfo) -> ModelProvider:
        """Return this provider. Raise `ProviderUnsupported` if the deployment has no adapter for the model."""
        self.adapter(model)
        return self

    def adapter(self, model: ModelInfo) -> ModelProvider:
        own = self.find_own(model)
        return own.adapter if own else self.find(model)

    def open(self, request: ModelRequest, *, deadline_seconds: float) -> "ResilientStream":
        return ResilientStream(self, request, deadline_seconds)

    def count_tokens(self, request: ModelRequest) -> int:
        return self.adapter(_model(request.model)).count_tokens(request)


class ResilientStream:
    """A `ModelStream` with fallbacks. `model` is the last model that was called."""

    def __init__(self, provider: ResilientProvider, request: ModelRequest, deadline_seconds: float) -> None:
        self._provider, self._request = provider, request
        self._deadline = time.monotonic() + deadline_seconds
        self._stream: ModelStream | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._began = 0.0
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
        fallbacks = (each for each in self._request.fallbacks if _accepts(self._request, each))
        models = (self._request.model, *fallbacks)
        for at, model_id in enumerate(models):
            has_begun = False
            try:
                for event in self._ask(model_id):
                    if not has_begun:
                        self._provider.latencies.record(model_id, time.monotonic() - self._began)
                    has_begun = True
                    yield event
            except (ModelFailed, ModelTimeout, CircuitOpen, ProviderUnsupported) as error:
                is_last = at + 1 == len(models) or time.monotonic() >= self._deadline
                # Reported usage is charged even without an event, such as a prompt or arguments of a tool call.
                has_begun = has_begun or self.usage != Usage()
                if has_begun or is_last or self._closed or not _may_pass(error):
                    raise
            else:
                return

    def _ask(self, model_id: str) -> Iterator[ModelEvent]:
        model, breaker = _model(model_id), self._provider.breaker
        self._stream = None
        own = self._provider.find_own(model)
        adapter = own.adapter if own else self._provider.find(model)
        circuit = own.circuit if own else model_id
        is_trial = breaker.admit(circuit)
        has_result, code = False, None
        self._began = time.monotonic()
        try:
            remaining = max(0.0, self._deadline - time.monotonic())
            with self._lock:
                if self._closed:
                    return
                self.model = model_id
                self._stream = adapter.open(_adapt(self._request, model), deadline_seconds=remaining)
            yield from self._stream
            has_result = not self._closed
            if is_trial and has_result:
                breaker.record_success(circuit)
        except (ModelFailed, ModelTimeout) as failure:
            error = _rejected(failure, own, model_id) or failure
            code = error.code
            if error.is_outage:
                has_result = True
                breaker.record_outage(circuit)
            if error is failure:
                raise
            raise error from failure
        finally:
            if is_trial and not has_result:
                breaker.release_trial(circuit)
            if self._stream is not None:
                seconds = time.monotonic() - self._began
                call = ModelCall(model_id, seconds, self.usage, code, interrupted=code is None and not has_result)
                self._provider.on_call(call)


def _rejected(error: ModelFailed | ModelTimeout, own: OwnModel | None, model_id: str) -> ModelKeyRejected | None:
    """Report a rejected key of a tenant, and return its error. Return None for another failure."""
    if own is None or not isinstance(error, ModelFailed) or error.provider_status not in _KEY_REJECTED:
        return None
    own.on_rejected(model_id, error.provider_status)
    return ModelKeyRejected(internal=error.internal)


def _may_pass(error: AtriumError) -> bool:
    return error.retryable or isinstance(error, ProviderUnsupported)


def _adapt(request: ModelRequest, model: ModelInfo) -> ModelRequest:
    """Return the request for a model, without images if the model does not accept them. For a fallback model, thinking
    blocks are removed and `max_tokens` is limited to the maximum of the model.
    """
    if not model.accepts_images:
        shown = (replace(each, content=omit_images(each.content, IMAGE_OMITTED)) for each in request.messages)
        request = replace(request, messages=tuple(shown))
    if model.id == request.model:
        return request
    return replace(
        request,
        model=model.id,
        fallbacks=(),
        messages=without_thinking(request.messages),
        max_tokens=min(request.max_tokens, model.output_tokens_max),
    )


def _accepts(request: ModelRequest, model_id: str) -> bool:
    """Return whether a fallback model accepts the options of the request."""
    try:
        model = _model(model_id)
        check_options(_adapt(request, model), model)
    except (ProviderUnsupported, ValidationFailed):
        return False
    return True


def _model(model_id: str) -> ModelInfo:
    model = find_model(model_id)
    if model is None:
        raise ProviderUnsupported(f"The model {model_id} is not in the catalogue.")
    return model
