"""The circuit breaker of each model, shared between all containers.

    closed    ── 5 outages within 60 s ──────────> open
    open      ── after 30 s ─────────────────────> half-open
    half-open ── 3 successful trials ────────────> closed
    half-open ── an outage ──────────────────────> open

An outage is a failure of the provider itself: see `ProviderFailure.is_outage`. Refused requests, rate limits and calls
that were cut off by a short time limit of the caller are none, so that a tenant cannot open the circuit for others.
While a circuit is half-open, three trial calls may start in 30 seconds.

The state of a model is one item, written by compare-and-set when an outage, a trial or its success changes it. A
container keeps what it read for 10 s, so a healthy model costs one read in 10 s and container, and no write. If the
table does not answer, calls are made as if the circuit were closed.
"""

import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cachetools import TTLCache

from atrium.kernel.clock import Clock
from atrium.kernel.errors import CircuitOpen, ConditionFailed, Unavailable
from atrium.storage import keys
from atrium.storage.table import PlatformTable
from atrium.storage.writes import NEW, Put

OUTAGES_MAX = 5
OUTAGES_SECONDS = 60
OPEN_SECONDS = 30
TRIALS_MAX = 3
SUCCESSES_NEEDED = 3
REMEMBERED_SECONDS = 10
_MODELS_MAX = 256
_ATTEMPTS = 5
_KEPT_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class CircuitState:
    """The state of one model's circuit; times in seconds of the epoch. `version` counts the writes of its item."""

    outages: int = 0
    first_outage_at: int = 0
    opened_at: int = 0
    trials: int = 0
    trials_at: int = 0
    successes: int = 0
    version: int = 0

    @property
    def is_closed(self) -> bool:
        return self.opened_at == 0

    def wait_seconds(self, now: int) -> int:
        """Return 0 if a call may be made, else the seconds until the next trial may start."""
        if self.is_closed:
            return 0
        if now < self.opened_at + OPEN_SECONDS:
            return self.opened_at + OPEN_SECONDS - now
        if self.trials >= TRIALS_MAX and now < self.trials_at + OPEN_SECONDS:
            return self.trials_at + OPEN_SECONDS - now
        return 0

    def with_trial(self, now: int) -> "CircuitState":
        """Return the state after the start of a trial."""
        if self.trials >= TRIALS_MAX or self.trials == 0:
            return replace(self, trials=1, trials_at=now)
        return replace(self, trials=self.trials + 1)

    def with_outage(self, now: int) -> "CircuitState":
        """Return the state after an outage. Outages of calls that began before the circuit opened change nothing."""
        if not self.is_closed:
            is_trial = self.trials > 0
            return CircuitState(opened_at=now, version=self.version) if is_trial else self
        is_recent = self.outages > 0 and now < self.first_outage_at + OUTAGES_SECONDS
        outages, first = (self.outages + 1, self.first_outage_at) if is_recent else (1, now)
        if outages >= OUTAGES_MAX:
            return CircuitState(opened_at=now, version=self.version)
        return replace(self, outages=outages, first_outage_at=first)

    def with_success(self) -> "CircuitState":
        """Return the state after a call that was answered."""
        if self.is_closed:
            return CircuitState(version=self.version)
        if self.trials == 0:
            return self
        if self.successes + 1 >= SUCCESSES_NEEDED:
            return CircuitState(version=self.version)
        return replace(self, successes=self.successes + 1)


@dataclass(slots=True)
class CircuitBreaker:
    """The circuits of all models, as one container sees them. Thread-safe."""

    table: PlatformTable
    clock: Clock
    _known: TTLCache[str, CircuitState] = field(init=False)

    def __post_init__(self) -> None:
        self._known = TTLCache(_MODELS_MAX, REMEMBERED_SECONDS, timer=lambda: self.clock().timestamp())

    def admit(self, model_id: str) -> None:
        """Return if a call of the model may be made; `CircuitOpen` with the time of the next trial if not."""
        try:
            known = self._known.get(model_id) or self._read(model_id)
            if known.is_closed:
                return
            state = self._change(model_id, lambda found, now: found.with_trial(now), only_admitted=True)
        except Unavailable as error:
            if isinstance(error, CircuitOpen):
                raise
            return
        if state is None:
            raise CircuitOpen(internal=f"the circuit of {model_id} changed in every attempt", retry_after_seconds=1)

    def record_outage(self, model_id: str) -> None:
        """Count a failure of the provider."""
        self._record(model_id, lambda found, now: found.with_outage(now))

    def record_success(self, model_id: str) -> None:
        """Note an answer; costs nothing while the model is known to be without outages."""
        known = self._known.get(model_id)
        if known is None or known != CircuitState(version=known.version):
            self._record(model_id, lambda found, _now: found.with_success())

    def _record(self, model_id: str, change: Callable[[CircuitState, int], CircuitState]) -> None:
        try:
            self._change(model_id, change)
        except Unavailable:
            self._known.pop(model_id, None)

    def _change(
        self, model_id: str, change: Callable[[CircuitState, int], CircuitState], *, only_admitted: bool = False
    ) -> CircuitState | None:
        """Apply a change to the stored state; returns the new state, None if other writers were always first."""
        for _ in range(_ATTEMPTS):
            found, now = self._read(model_id), int(self.clock().timestamp())
            wait = found.wait_seconds(now) if only_admitted else 0
            if wait > 0:
                raise CircuitOpen(internal=f"circuit of {model_id}", retry_after_seconds=wait)
            wanted = found if only_admitted and found.is_closed else change(found, now)
            if wanted == found or self._write(model_id, wanted, now):
                return wanted
        return None

    def _read(self, model_id: str) -> CircuitState:
        item = self.table.get(keys.circuit(model_id)) or {}
        state = CircuitState(**{name: int(item.get(name, 0)) for name in CircuitState.__slots__})
        self._known[model_id] = state
        return state

    def _write(self, model_id: str, state: CircuitState, now: int) -> bool:
        """Store a state if nothing changed since it was read; False otherwise. A lost reply repeated counts once."""
        written = replace(state, version=state.version + 1)
        mark = uuid.uuid4().hex
        item: dict[str, Any] = {**asdict(written), "mark": mark, "ttl": now + _KEPT_SECONDS}
        condition = f"({NEW}) OR #version = :seen" if state.version == 0 else "#version = :seen"
        try:
            self.table.write(Put(keys.circuit(model_id), item, condition, {"seen": state.version}))
        except ConditionFailed as error:
            if not error.item or error.item.get("mark") != mark:
                return False
        self._known[model_id] = written
        return True
