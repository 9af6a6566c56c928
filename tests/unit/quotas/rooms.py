"""A tenant's admission on a table, with a clock that is turned, and what its item must always satisfy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from atrium.kernel.ids import RunId, TenantId, mint_run_id, mint_session_id
from atrium.quotas.charges import entry_of
from atrium.quotas.meters import read_bucket
from atrium.quotas.model import AdmissionRequest, Heartbeat, Hold, Limits, Refused, Settlement, Subject
from atrium.quotas.store import AdmissionStore
from atrium.quotas.taking import UNREAD, Read, Taken
from atrium.storage.table import PhysicalTable, TenantTable

TENANT = TenantId("ten_01k6r5m2x8f3v9q4w7t1y0z5ab")
START = datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC)


def make_run_id(now: datetime = START) -> RunId:
    return mint_run_id(now, mint_session_id(now))


@dataclass
class Room:
    """One tenant's first shard. `skew` is how far the clock of whoever acts next is off."""

    physical: PhysicalTable
    limits: Limits
    subjects: tuple[Subject, ...] = ()
    now: datetime = START
    skew: timedelta = field(default_factory=timedelta)
    tenant: TenantId = TENANT

    @property
    def store(self) -> AdmissionStore:
        return AdmissionStore(TenantTable(self.physical, self.tenant), lambda: self.now + self.skew)

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def admit(
        self,
        run_id: RunId | None = None,
        *,
        tokens: int = 0,
        cost_nanos: int = 0,
        new_session: bool = False,
        read: Read = UNREAD,
    ) -> Hold | Refused:
        run_id = run_id or make_run_id(self.now)
        request = AdmissionRequest(run_id, tokens, cost_nanos, new_session, self.subjects)
        answer = self.store.take(0, entry_of(request, self.limits), read)
        return answer if isinstance(answer, Refused) else hold_of(run_id, answer)

    def admitted(self, run_id: RunId | None = None, *, tokens: int = 0, cost_nanos: int = 0) -> Hold:
        answer = self.admit(run_id, tokens=tokens, cost_nanos=cost_nanos)
        assert isinstance(answer, Hold), answer
        return answer

    def refused(self, *, tokens: int = 0, cost_nanos: int = 0, new_session: bool = False) -> Refused:
        answer = self.admit(tokens=tokens, cost_nanos=cost_nanos, new_session=new_session)
        assert isinstance(answer, Refused), answer
        return answer

    def settle(self, hold: Hold, tokens: int = 0, cost_nanos: int = 0) -> Settlement:
        return self.store.settle(hold, tokens, cost_nanos)

    def renew(self, hold: Hold) -> Heartbeat:
        return self.store.renew(hold)

    def read(self) -> Mapping[str, Any] | None:
        return self.store.read(0)

    def item(self) -> Mapping[str, Any]:
        item = self.read()
        assert item is not None
        check_item(item)
        return item


def hold_of(run_id: RunId, taken: Taken) -> Hold:
    return Hold(run_id, 0, taken.second, taken.tokens, taken.cost_nanos, taken.marks, taken.lease_until)


def check_item(item: Mapping[str, Any]) -> None:
    """Assert that each window's sum is what its seconds have, and that nothing is negative."""
    sums: dict[str, int] = {}
    for attribute, amount in item.items():
        place = read_bucket(attribute, item["roll"])
        if place is not None:
            sums[place[0]] = sums.get(place[0], 0) + amount
            assert amount >= 0, (attribute, amount)
    for attribute, amount in item.items():
        if attribute.endswith(("rn", "tn", "kn")):
            assert amount == sums.pop(attribute[:-1], 0), (attribute, item)
    assert not sums, (sums, item)
