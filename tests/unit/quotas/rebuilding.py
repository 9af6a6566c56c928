"""A tenant whose counters are damaged and rebuilt, and the expected values of the counters."""

import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from atrium.quotas.limits import DEFINITIONS, Amounts
from atrium.quotas.model import ScopeLimits
from atrium.quotas.rebuild.model import Drift, RebuildReport
from atrium.quotas.rebuild.service import Rebuilder
from atrium.quotas.rebuild.tally import REBUILT
from atrium.storage import keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import ANY, Delete, Update
from atrium.usage.model import Figures, SumKey
from atrium.usage.rebuild import read_days
from atrium.usage.sums import contributions, merge, sum_key

from tests.builders.ledger import AGENT_ID, USER_ID
from tests.builders.memory_table import MemoryTable
from tests.builders.mixing import Mixer

SCOPES = (
    ScopeLimits("user", {"requests_per_day": 500, "concurrent_turns": 40}, USER_ID),
    ScopeLimits("agent", {"cost_per_month": 9_000_000_000}, AGENT_ID),
    ScopeLimits("tenant", {"requests_per_day": 2_000, "concurrent_turns": 40}),
)
FIRST = datetime(
    2026, 11, 2, 12, 0, 0, 250_000, tzinfo=UTC
)  # early in the month, because the rebuild makes some calls for each day
TODAY = FIRST.date()
_DATED = re.compile(r"[rstc][dm]\d+$")

type Counters = dict[tuple[str, str], int]


@dataclass
class RebuildWorld:
    """A tenant with a manual clock, and the expected values of its counters."""

    seed: int = 7
    now: datetime = FIRST
    table: TenantTable = field(default_factory=MemoryTable)
    mixer: Mixer = field(init=False)

    def __post_init__(self) -> None:
        self.mixer = Mixer(self.table, SCOPES, self.clock, random.Random(self.seed))

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
        """Create settled runs, a settled run that the stream has not delivered, and open runs."""
        for _ in range(8):
            self.mixer.admit()
        self.mixer.begin_session()
        self.mixer.extend()
        for _ in range(4):
            self.mixer.end()
        self.mixer.deliver()
        self.mixer.end()
        self.now += timedelta(milliseconds=700)

    def rebuild(self, token: str = "one", month: date = TODAY) -> RebuildReport:
        return Rebuilder(self.table, self.clock).rebuild(month, token)

    def compare(self) -> Drift:
        return Rebuilder(self.table, self.clock).compare()

    def item(self, scope_id: str) -> dict[str, Any]:
        return self.table.get(keys.admission(scope_id)) or {}

    def counters(self) -> Counters:
        second = int(self.now.timestamp())
        items = {each.id: self.item(each.id) for each in SCOPES}
        return {
            (scope_id, name): int(item.get(DEFINITIONS[name].counter(second), 0))
            for scope_id, item in items.items()
            for name in REBUILT
        }

    def expected(self) -> Counters:
        entries, held = self.mixer.settled, self.mixer.open
        tokens = sum(entry.total_tokens for entry in entries)
        cost = sum(entry.cost_nanos for entry in entries)
        found: Counters = {}
        for each in SCOPES:
            slots = [reservation.slots[each.id] for reservation in held]
            figures: Amounts = {
                "r": len(entries) + len(held),
                "s": self.mixer.sessions[each.id],
                "t": tokens + sum(slot.tokens_in_all for slot in slots),
                "c": cost + sum(slot.cost_in_all_nanos for slot in slots),
            }
            found |= {(each.id, name): figures[DEFINITIONS[name].letter] for name in REBUILT}
        return found

    def check(self) -> None:
        self.mixer.deliver()
        assert self.counters() == self.expected()
        sums = merge(contributions(entry) for entry in self.mixer.settled)
        assert {key: figures for key, figures in self.sums().items() if figures != Figures()} == sums

    def sums(self) -> dict[SumKey, Figures]:
        return read_days(self.table, [TODAY])

    def damage(self) -> None:
        """Change counters and usage aggregates to wrong values."""
        for scope in SCOPES:
            item = self.item(scope.id)
            for name in [name for name in sorted(item) if _DATED.search(name)]:
                more = self.chance.choice([0, 1, -1, 1_000, -77])
                write = Update(keys.admission(scope.id), "ADD #name :more", ANY, {"more": more}, {"name": name})
                self.table.write(write)
        for key in self.sums():
            kind = self.chance.randrange(4)
            if kind == 1:
                self.table.write(Delete(sum_key(key), ANY))
            elif kind == 2:
                self.table.write(Update(sum_key(key), "ADD #requests :seven", ANY, {"seven": 7}))
        self.table.write(Update(sum_key(SumKey(TODAY, "MODEL", "ghost")), "ADD #requests :one", ANY, {"one": 1}))

    @property
    def memory(self) -> MemoryTable:
        assert isinstance(self.table, MemoryTable)
        return self.table

    @contextmanager
    def between_calls(self, act: Callable[[str], object]) -> Iterator[None]:
        """Call `act` before each call to the table within the block, except before the calls that `act` makes."""

        def intercept(name: str, send: Callable[[], Any]) -> Any:
            self.memory.intercept = None
            act(name)
            self.memory.intercept = intercept
            return send()

        self.memory.intercept = intercept
        try:
            yield
        finally:
            self.memory.intercept = None
