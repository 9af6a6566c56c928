"""The state of a circuit breaker and its transitions. `llm.resilience` explains them, and stores the states."""

from dataclasses import dataclass, replace

OUTAGES_MAX = 5
OUTAGES_SECONDS = 60
OPEN_SECONDS = 30
TRIALS_MAX = 3
SUCCESSES_NEEDED = 3


@dataclass(frozen=True, slots=True)
class CircuitState:
    """The state of one model's circuit. Times are in epoch seconds. `version` is the number of writes to the item."""

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
        """Return 0 if a call is allowed, otherwise the seconds until the next trial may start."""
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

    def without_trial(self) -> "CircuitState":
        """Return the state after a trial that ended without a result. Another trial may then start."""
        return replace(self, trials=max(0, self.trials - 1))

    def with_outage(self, now: int) -> "CircuitState":
        """Return the state after an outage. Outages of calls that began before the circuit opened are ignored."""
        if not self.is_closed:
            is_trial = self.trials > 0
            return CircuitState(opened_at=now, version=self.version) if is_trial else self
        is_recent = self.outages > 0 and now < self.first_outage_at + OUTAGES_SECONDS
        outages, first = (self.outages + 1, self.first_outage_at) if is_recent else (1, now)
        if outages >= OUTAGES_MAX:
            return CircuitState(opened_at=now, version=self.version)
        return replace(self, outages=outages, first_outage_at=first)

    def with_success(self) -> "CircuitState":
        """Return the state after a successful trial. A closed circuit is returned unchanged."""
        if self.is_closed or self.trials == 0:
            return self
        if self.successes + 1 >= SUCCESSES_NEEDED:
            return CircuitState(version=self.version)
        return replace(self, successes=self.successes + 1)
