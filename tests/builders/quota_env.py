"""A `QuotaService` on a table in memory, and a simulated outage of the table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from atrium.kernel.errors import Unavailable
from atrium.quotas.model import (
    TENANT,
    AdmissionRequest,
    Admitted,
    Reservation,
    ScopeLimits,
)
from atrium.quotas.service import QuotaService
from atrium.storage import keys

from tests.builders.memory_table import MemoryTable
from tests.builders.quota_items import run_id
from tests.builders.runtimes import TurnedClock

KEY = ScopeLimits("key", {"requests_per_minute": 3, "tool_calls_per_minute": 2}, "key_1")
OWN = ScopeLimits(
    "tenant", {"concurrent_turns": 2, "requests_per_day": 5, "sessions_per_day": 2, "tool_calls_per_minute": 3}
)
BOTH = (KEY, OWN)


@dataclass
class Quotas:
    """A `QuotaService` on a table in memory, and access to its admission items."""

    table: MemoryTable = field(default_factory=MemoryTable)
    clock: TurnedClock = field(default_factory=TurnedClock)
    failures: list[Unavailable] = field(default_factory=list)
    minutes_open: bool = False
    while_waiting: Callable[[], object] = lambda: None
    runs: int = 0

    @property
    def service(self) -> QuotaService:
        return QuotaService(
            self.table,
            self.clock,
            minutes_open=self.minutes_open,
            on_failure=self.failures.append,
            pause=self._wait,
        )

    def _wait(self, _seconds: float) -> None:
        self.while_waiting()

    def ask(self, scopes: Sequence[ScopeLimits] = BOTH, *, number: int | None = None, **request: Any) -> Any:
        self.runs += number is None
        wanted = AdmissionRequest(run_id(number or self.runs), request.pop("tokens", 0), 0, **request)
        return self.service.admit(wanted, scopes)

    def admit(self, scopes: Sequence[ScopeLimits] = BOTH, **request: Any) -> Reservation:
        answer = self.ask(scopes, **request)
        assert isinstance(answer, Admitted), answer
        return answer.reservation

    def item(self, scope_id: str = TENANT) -> dict[str, Any]:
        return self.table.items.get(keys.admission(scope_id), {})

    def items(self) -> list[dict[str, Any]]:
        return [self.item("key_1"), self.item()]


class Gone:
    """An interceptor that fails all calls to the table from number `first` (from 0) on."""

    def __init__(self, first: int = 0) -> None:
        self.first, self.count = first, 0

    def __call__(self, _name: str, send: Callable[[], Any]) -> Any:
        self.count += 1
        if self.count > self.first:
            raise Unavailable(internal="the table is gone")
        return send()
