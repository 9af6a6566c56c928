"""A tenant whose counters are damaged and rebuilt, and what they must be."""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from atrium.quotas.meters import METERS, prefix_of
from atrium.quotas.model import LimitName, Subject
from atrium.quotas.rebuild.model import RebuildReport
from atrium.quotas.rebuild.service import Rebuilder
from atrium.quotas.terms import Terms
from atrium.storage import keys, usage_keys
from atrium.storage.keys import Key
from atrium.storage.queries import Query
from atrium.storage.table import PhysicalTable
from atrium.storage.writes import ANY, Delete, Update
from atrium.usage.model import Figures, SumKey
from atrium.usage.rebuild import read_days
from atrium.usage.sums import contributions, merge, sum_key

from tests.builders.ledger import AGENT_ID, USER_ID
from tests.builders.mixing import Mixer, tokens_of
from tests.unit.quotas.rooms import START, TENANT

LIMITS: Mapping[LimitName, int] = {
    "requests_per_minute": 1_000,
    "requests_per_day": 2_000,
    "sessions_per_day": 2_000,
    "tokens_per_month": 100_000_000,
    "cost_per_month": 10_000_000_000,
}
ONE, MANY = Terms({**LIMITS, "concurrent_turns": 16}), Terms({**LIMITS, "concurrent_turns": 40})
SUBJECTS = (
    Subject("user", USER_ID, {"requests_per_day": 500, "sessions_per_day": 400, "tokens_per_month": 10_000_000}),
    Subject("agent", AGENT_ID, {"cost_per_month": 9_000_000_000}),
)
FIRST = START.replace(day=2)  # early in the month: each day of it is a few calls
TODAY = FIRST.date()
_DATED = re.compile(r"[rstc][dm]\d+$")
REBUILT: tuple[LimitName, ...] = ("requests_per_day", "sessions_per_day", "tokens_per_month", "cost_per_month")


@dataclass
class World:
    """A tenant with a clock that is turned, and what its counters must be."""

    physical: PhysicalTable
    terms: Terms
    seed: int
    now: datetime = FIRST
    apart: bool = False
    mixer: Mixer = field(init=False)

    def __post_init__(self) -> None:
        subjects = tuple(replace(each, apart=self.apart) for each in SUBJECTS)
        self.mixer = Mixer(self.physical, TENANT, self.terms, self.clock, random.Random(self.seed), subjects)

    def clock(self) -> datetime:
        return self.now

    @property
    def chance(self) -> random.Random:
        return self.mixer.chance

    def mix(self, steps: int) -> None:
        for _ in range(steps):
            self.now += timedelta(milliseconds=self.chance.randrange(0, 700))
            self.mixer.step()

    def begin(self) -> None:
        """Leave settled calls, one that the stream has not brought, and one that is open."""
        for _ in range(6):
            self.mixer.admit()
        self.mixer.begin_session()
        for _ in range(4):
            self.mixer.end()
        self.mixer.deliver()
        self.mixer.end()
        self.now += timedelta(milliseconds=700)

    def rebuild(self, token: str = "one", month: date = TODAY) -> RebuildReport:
        return Rebuilder(self.mixer.table, self.clock).rebuild(month, token)

    def items(self) -> list[dict[str, Any]]:
        return self.mixer.table.query(Query("ADMISSION", limit=100)).items

    def places(self) -> list[Key]:
        """Return the keys of all admission items, those of subjects that are counted apart among them."""
        apart = self.mixer.table.query(Query(usage_keys.admissions_apart(), limit=100)).items
        assert len(apart) == (2 if self.apart else 0)
        tenant = [keys.admission(int(item["sk"])) for item in self.items()]
        return [*tenant, *(usage_keys.admission_apart(str(item["sk"])) for item in apart)]

    def counters(self) -> dict[str, int]:
        second = int(self.now.timestamp())
        names = [METERS[limit].attribute("", second) for limit in REBUILT]
        found = {name: sum(item.get(name, 0) for item in self.items()) for name in names}
        user = "" if self.apart else prefix_of("user", USER_ID)
        agent = "" if self.apart else prefix_of("agent", AGENT_ID)
        for limit in REBUILT[:3]:
            found[f"user {limit}"] = self._sum(USER_ID, METERS[limit].attribute(user, second))
        return {**found, "agent cost_per_month": self._sum(AGENT_ID, METERS["cost_per_month"].attribute(agent, second))}

    def _sum(self, subject_id: str, name: str) -> int:
        apart = self.mixer.table.get(usage_keys.admission_apart(subject_id)) or {}
        return sum(int(item.get(name, 0)) for item in ([apart] if self.apart else self.items()))

    def expected(self) -> dict[str, int]:
        entries, held = self.mixer.settled, self.mixer.open
        requests, sessions = len(entries) + len(held), self.mixer.sessions
        tokens = sum(map(tokens_of, entries)) + sum(hold.tokens for hold in held)
        cost = sum(entry.cost_nanos for entry in entries) + sum(hold.cost_nanos for hold in held)
        return dict(
            zip(self.counters(), [requests, sessions, tokens, cost, requests, sessions, tokens, cost], strict=True)
        )

    def check(self) -> None:
        self.mixer.deliver()
        assert self.counters() == self.expected()
        sums = merge(contributions(entry) for entry in self.mixer.settled)
        assert {key: figures for key, figures in self.sums().items() if figures != Figures()} == sums

    def sums(self) -> dict[SumKey, Figures]:
        return read_days(self.mixer.table, [TODAY])

    def damage(self) -> None:
        """Make counters and sums wrong, each in another way."""
        for place in self.places():
            item = self.mixer.table.get(place) or {}
            for name in [name for name in sorted(item) if _DATED.search(name)]:
                more = self.chance.choice([0, 1, -1, 1_000, -77])
                write = Update(place, "ADD #name :more", ANY, {"more": more}, {"name": name})
                self.mixer.table.write(write)
        for key in self.sums():
            kind = self.chance.randrange(4)
            if kind == 1:
                self.mixer.table.write(Delete(sum_key(key), ANY))
            elif kind == 2:
                self.mixer.table.write(Update(sum_key(key), "ADD #requests :seven", ANY, {"seven": 7}))
        self.mixer.table.write(Update(sum_key(SumKey(TODAY, "MODEL", "ghost")), "ADD #requests :one", ANY, {"one": 1}))


@contextmanager
def before_each_call(table: PhysicalTable, act: Callable[[str], None]) -> Iterator[None]:
    """Do something before each call that reaches the table, but not before those that this makes itself."""
    busy = False

    def hook(event_name: str, **_: object) -> None:
        nonlocal busy
        if not busy:
            busy = True
            try:
                act(event_name.rpartition(".")[2])
            finally:
                busy = False

    table.client.meta.events.register("before-call.dynamodb", hook)
    try:
        yield
    finally:
        table.client.meta.events.unregister("before-call.dynamodb", hook)
