"""The write units of an admission item's writes, and the sizes of the largest expressions.

The expressions must respect DynamoDB's limits.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from atrium.kernel.errors import Unavailable
from atrium.quotas.item import MOVED_MAX
from atrium.quotas.limits import resolve_limits
from atrium.quotas.model import (
    SLOTS_MAX,
    AdmissionRequest,
    Admitted,
    Extended,
    Limits,
    Rejected,
    Reservation,
    ScopeLimits,
    Used,
)
from atrium.quotas.service import QuotaService
from atrium.storage.table import PhysicalTable, TenantTable
from botocore.exceptions import ConnectTimeoutError

from tests.conformance.quotas.racing import NOON, Race, check_item, race_on
from tests.conformance.quotas.test_steady import SharedClock

FREE: Limits = {
    "requests_per_minute": 60_000,
    "tokens_per_minute": 10**9,
    "requests_per_day": 10**8,
    "tokens_per_month": 10**12,
}
SCOPES = (
    ScopeLimits("tenant", {**resolve_limits("pro", {}), **FREE, "cost_per_month": 10**15, "concurrent_turns": -1}),
)
EXPRESSION_BYTES_MAX = 4_096
OPERATORS_MAX = 300
USED = Used(3_211, 17_654_321)


class Tenant:
    """A tenant with a manual clock. `units` contains the write units of each write."""

    def __init__(self, table: PhysicalTable) -> None:
        self.clock = SharedClock(NOON)
        race = race_on(table)
        self.service = QuotaService(TenantTable(table, race.tenants[0]), self.clock)
        self.race: Race = race
        self.units: list[float] = []
        self.longest = 0

    def admit(self) -> Reservation:
        answer = self.ask()
        assert isinstance(answer, Admitted), answer
        return answer.reservation

    def ask(self) -> Admitted | Rejected:
        request = replace(self.race.request(), tokens=4_000, cost_nanos=19_000_000)
        return self.service.admit(request, SCOPES)

    def note_arguments(self, params: dict[str, Any], **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"
        for name in ("UpdateExpression", "ConditionExpression"):
            text = params.get(name, "")
            self.longest = max(self.longest, len(text))
            assert len(text.encode()) <= EXPRESSION_BYTES_MAX
            assert sum(text.count(each) for each in (" = ", "AND", "OR", "<", "size(", "BETWEEN")) <= OPERATORS_MAX

    def note_units(self, parsed: dict[str, Any], **_: object) -> None:
        self.units.append(parsed.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0))


@pytest.fixture
def tenant(dynamodb_table: PhysicalTable) -> Iterator[Tenant]:
    found = Tenant(dynamodb_table)
    events = dynamodb_table.client.meta.events
    hooks: dict[str, Any] = {
        "provide-client-params.dynamodb.UpdateItem": found.note_arguments,
        "after-call.dynamodb.UpdateItem": found.note_units,
    }
    for event, hook in hooks.items():
        events.register(event, hook)
    yield found
    for event, hook in hooks.items():
        events.unregister(event, hook)


def fill_minute(tenant: Tenant) -> None:
    """Admit and settle one turn in every second of a minute."""
    for _ in range(61):
        tenant.service.settle(tenant.admit(), USED)
        tenant.clock.now += 1


def test_write_units_with_a_full_minute_and_slots_taken(tenant: Tenant) -> None:
    fill_minute(tenant)
    taken: list[Reservation] = []
    for slots, most in ((16, 3), (50, 6), (SLOTS_MAX, 12)):
        taken += [tenant.admit() for _ in range(slots - len(taken))]
        del tenant.units[:]
        last = taken.pop()
        request = AdmissionRequest(last.run_id, 4_000, 19_000_000)
        extended = tenant.service.extend(last, USED, request, SCOPES)
        assert isinstance(extended, Extended)
        assert tenant.service.renew_lease(extended.reservation)
        assert tenant.service.settle(extended.reservation, Used(2 * USED.tokens, USED.cost_nanos))
        taken.append(tenant.admit())
        assert max(tenant.units) <= most, slots


def test_cleans_up_an_old_minute_and_expired_leases_in_one_write(tenant: Tenant) -> None:
    fill_minute(tenant)
    taken = [tenant.admit() for _ in range(SLOTS_MAX)]
    assert isinstance(tenant.ask(), Rejected)
    tenant.clock.now += 130
    admitted = [tenant.admit() for _ in range(SLOTS_MAX)]
    assert isinstance(tenant.ask(), Rejected)
    item = tenant.service.read(SCOPES)[""]
    check_item(item)
    assert (len(item.slots), len(item.late)) == (SLOTS_MAX, SLOTS_MAX)
    tenant.clock.now += 130
    assert isinstance(tenant.ask(), Rejected), "full of unsettled slots: reject, never discard"
    for reservation in [*taken, *admitted]:
        assert tenant.service.settle(reservation, USED)
    assert tenant.longest > MOVED_MAX * 20, "the largest expressions were tried"
    item = tenant.service.read(SCOPES)[""]
    assert (len(item.slots), len(item.late)) == (0, 0)


def test_sets_back_a_clock_far_ahead_in_one_write(tenant: Tenant) -> None:
    fill_minute(tenant)
    tenant.clock.now -= 1_000
    tenant.service.settle(tenant.admit(), USED)
    check_item(tenant.service.read(SCOPES)[""])


def test_a_table_that_does_not_answer_is_unavailable(tenant: Tenant, dynamodb_table: PhysicalTable) -> None:
    reservation = tenant.admit()

    def fail(**_: object) -> None:
        raise ConnectTimeoutError(endpoint_url="gone")

    events = dynamodb_table.client.meta.events
    events.register("before-call.dynamodb.UpdateItem", fail)
    service = tenant.service
    for act in (tenant.ask, lambda: service.settle(reservation, USED), lambda: service.renew_lease(reservation)):
        with pytest.raises(Unavailable):
            act()
    events.unregister("before-call.dynamodb.UpdateItem", fail)
    assert service.settle(reservation, USED)
