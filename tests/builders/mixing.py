"""Mixed calls of a tenant, as chat makes them: admitted, settled, still open; the ledger before the settlement."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from atrium.kernel.errors import LimitReached
from atrium.kernel.ids import SessionId, TenantId, mint_run_id, mint_session_id
from atrium.llm.model import Usage
from atrium.quotas.beginning import SessionDoor
from atrium.quotas.model import AdmissionRequest, Admitted, Hold, Subject
from atrium.quotas.service import AdmissionService
from atrium.quotas.store import AdmissionStore
from atrium.quotas.terms import Terms
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.storage.writes import NEW, Put
from atrium.usage.model import Arrival, Charged, LedgerEntry
from atrium.usage.service import UsageCounter
from atrium.usage.store import LedgerStore

from tests.builders.ledger import USER_ID, build_entry

type Clock = Callable[[], datetime]


@dataclass
class Mixer:
    """Calls of one tenant from one thread, all of one user and agent. `subjects` have limits of their own."""

    physical: PhysicalTable
    tenant: TenantId
    terms: Terms
    clock: Clock
    chance: random.Random
    subjects: tuple[Subject, ...] = ()
    open: list[Hold] = field(default_factory=list)
    settled: list[LedgerEntry] = field(default_factory=list)
    counted: int = 0
    sessions: int = 0

    @property
    def table(self) -> TenantTable:
        return TenantTable(self.physical, self.tenant)

    @property
    def service(self) -> AdmissionService:
        return AdmissionService(AdmissionStore(self.table, self.clock))

    def admit(self) -> None:
        now = self.clock()
        run_id = mint_run_id(now, mint_session_id(now))
        hold = (self.chance.randrange(50, 500), self.chance.randrange(1_000, 90_000))
        begins = self.chance.random() < 0.5
        answer = self.service.admit(AdmissionRequest(run_id, *hold, begins, self.subjects), self.terms)
        if isinstance(answer, Admitted):
            self.open.append(answer.hold)
            self.sessions += begins

    def begin_session(self) -> None:
        """Begin a session without a turn, as `POST /v1/sessions` does; its record is any item that is new."""
        session_id = mint_session_id(self.clock())
        door = SessionDoor(AdmissionStore(self.table, self.clock), self.terms, self.subjects)
        with suppress(LimitReached):
            door.begin(session_id, Put(keys.session(session_id), {"id": session_id}, NEW))
            self.sessions += 1

    def write_ledger(self, hold: Hold) -> LedgerEntry:
        """Write the entry of a run that has ended; it is to be settled to what the entry says."""
        entry = build_entry(
            at=self.clock(),
            run_id=hold.run_id,
            tenant_id=self.tenant,
            session_id=SessionId("ses_" + hold.run_id[-26:]),
            principal_id=USER_ID,
            model=self.chance.choice(["claude-haiku-5-5", "claude-opus-5-5"]),
            tokens=Usage(*(self.chance.randrange(0, 12) for _ in range(4))),
            tool_calls=self.chance.choice([None, {"calculator": 2}]),
            cost_nanos=self.chance.randrange(0, 1_000),
        )
        entry = replace(
            entry,
            charged=Charged(hold.shard, hold.second, hold.marks) if hold.recorded else None,
            apart={own.place: Charged(own.shard, own.second, own.marks) for own in hold.apart},
        )
        assert LedgerStore(self.table).put(entry)
        self.settled.append(entry)
        return entry

    def settle(self, hold: Hold, entry: LedgerEntry) -> None:
        self.service.settle(hold, tokens_of(entry), entry.cost_nanos)

    def end(self) -> None:
        """End an open call, if there is one."""
        if self.open:
            hold = self.open.pop(self.chance.randrange(len(self.open)))
            self.settle(hold, self.write_ledger(hold))

    def deliver(self) -> None:
        """Let the stream bring what it has not brought."""
        arrivals = [Arrival(each, str(each.run_id)) for each in self.settled[self.counted :]]
        self.counted = len(self.settled)
        counter = UsageCounter(lambda _: self.table)
        while arrivals:  # who counts at the same time may be refused, and is brought again
            failures = counter.count(arrivals)
            arrivals = [each for each in arrivals if each.sequence in failures]

    def step(self) -> None:
        self.chance.choice([self.admit, self.admit, self.begin_session, self.end, self.end, self.deliver])()


def tokens_of(entry: LedgerEntry) -> int:
    tokens = entry.tokens
    return tokens.prompt_tokens + tokens.output_tokens
