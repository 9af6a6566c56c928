"""Random quota operations of a tenant, in the order in which chat makes them.

The ledger entry of a run is written before the run is settled.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from atrium.kernel.ids import SessionId, mint_run_id, mint_session_id
from atrium.llm.model import Usage
from atrium.quotas.model import AdmissionRequest, Admitted, Extended, Recorded, Reservation, ScopeLimits, Used
from atrium.quotas.service import QuotaService
from atrium.storage import keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import NEW, Put
from atrium.usage.model import Arrival, LedgerEntry
from atrium.usage.service import UsageCounter
from atrium.usage.store import LedgerStore

from tests.builders.ledger import USER_ID, build_entry

type Clock = Callable[[], datetime]


@dataclass
class Mixer:
    """A generator of random operations of one tenant, with one user and one agent.

    The last entry of `scopes` is the tenant. Each thread needs its own instance.
    """

    table: TenantTable
    scopes: tuple[ScopeLimits, ...]
    clock: Clock
    chance: random.Random
    open: list[Reservation] = field(default_factory=list)
    settled: list[LedgerEntry] = field(default_factory=list)
    delivered: int = 0
    sessions: Counter[str] = field(default_factory=Counter)
    """Number of counted sessions by scope id."""

    @property
    def service(self) -> QuotaService:
        return QuotaService(self.table, self.clock)

    def admit(self) -> None:
        now = self.clock()
        run_id = mint_run_id(now, mint_session_id(now))
        tokens, cost, is_new = self.chance.randrange(50, 500), self.chance.randrange(1_000, 90_000), self._chance(0.5)
        answer = self.service.admit(AdmissionRequest(run_id, tokens, cost, is_new), self.scopes)
        if isinstance(answer, Admitted):
            self.open.append(answer.reservation)
            self.sessions.update(each.id for each in self.scopes if is_new)

    def extend(self) -> None:
        """Extend the reservation of an open run for another model call, if a run is open."""
        if not self.open:
            return
        at = self.chance.randrange(len(self.open))
        own = self.open[at].own
        used = Used(own.past_tokens + own.tokens // 3, own.past_cost_nanos + own.cost_nanos // 3)
        request = AdmissionRequest(self.open[at].run_id, self.chance.randrange(1, 300), self.chance.randrange(9_000))
        answer = self.service.extend(self.open[at], used, request, self.scopes)
        if isinstance(answer, Extended):
            self.open[at] = answer.reservation

    def begin_session(self) -> None:
        """Record a session without a turn, like `POST /v1/sessions`. The session's item contains only the id."""
        session_id = mint_session_id(self.clock())
        record = Put(keys.session(session_id), {"id": session_id}, NEW)
        service = self.service
        answer = service.record_session(session_id, record, self.scopes, service.read(self.scopes))
        if isinstance(answer, Recorded):
            self.sessions.update(each.id for each in self.scopes)

    def write_ledger(self, reservation: Reservation) -> LedgerEntry:
        """Write and return the ledger entry of an ended run. The run is settled to this entry later."""
        entry = build_entry(
            at=self.clock(),
            run_id=reservation.run_id,
            tenant_id=self.table.tenant_id,
            session_id=SessionId("ses_" + reservation.run_id[-26:]),
            principal_id=USER_ID,
            model=self.chance.choice(["claude-haiku-5-5", "claude-opus-5-5"]),
            tokens=Usage(reservation.own.past_tokens, *(self.chance.randrange(0, 12) for _ in range(3))),
            tool_calls=self.chance.choice([None, {"calculator": 2}]),
            cost_nanos=reservation.own.past_cost_nanos + self.chance.randrange(0, 1_000),
        )
        counted = reservation.slots if reservation.recorded else {}
        entry = replace(
            entry,
            admitted={scope_id: slot.admitted for scope_id, slot in counted.items()},
            new_session=reservation.own.new_session,
        )
        assert LedgerStore(self.table).put(entry)
        self.settled.append(entry)
        return entry

    def settle(self, reservation: Reservation, entry: LedgerEntry) -> None:
        self.service.settle(reservation, Used(entry.total_tokens, entry.cost_nanos))

    def end(self) -> None:
        """End and settle an open run, if a run is open."""
        if self.open:
            reservation = self.open.pop(self.chance.randrange(len(self.open)))
            self.settle(reservation, self.write_ledger(reservation))

    def deliver(self) -> None:
        """Pass all undelivered ledger entries to the usage counter, like the table's stream."""
        arrivals = [Arrival(each, str(each.run_id)) for each in self.settled[self.delivered :]]
        self.delivered = len(self.settled)
        counter = UsageCounter(lambda _: self.table)
        while arrivals:  # an entry that was not counted is delivered again
            failures = counter.count(arrivals)
            arrivals = [each for each in arrivals if each.sequence in failures]

    def step(self) -> None:
        acts = [self.admit, self.admit, self.extend, self.begin_session, self.end, self.end, self.deliver]
        self.chance.choice(acts)()

    def _chance(self, share: float) -> bool:
        return self.chance.random() < share
