"""What admission costs on a table that charges as AWS does."""

from datetime import timedelta
from typing import Any

import pytest
from atrium.kernel.errors import Unavailable
from atrium.quotas.model import Limits
from atrium.storage.table import PhysicalTable

from tests.unit.quotas.rooms import Room

PRO: Limits = {
    "requests_per_minute": 375,
    "tokens_per_minute": 250_000,
    "requests_per_day": 25_000,
    "sessions_per_day": 1_250,
    "tokens_per_month": 2_500_000,
    "cost_per_month": 50_000_000_000,
    "concurrent_turns": 16,
}


@pytest.fixture
def units(dynamodb_table: PhysicalTable) -> list[float]:
    """The write units of each update from here on."""
    found: list[float] = []

    def ask(params: dict[str, Any], **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"

    def note(parsed: dict[str, Any], **_: object) -> None:
        found.append(parsed.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0))

    events = dynamodb_table.client.meta.events
    events.register("provide-client-params.dynamodb.UpdateItem", ask)
    events.register("after-call.dynamodb.UpdateItem", note)
    return found


def test_two_write_units_at_most_with_a_full_minute_and_all_slots_taken(
    dynamodb_table: PhysicalTable, units: list[float]
) -> None:
    room = Room(dynamodb_table, PRO)
    for _ in range(61):
        room.settle(room.admitted(tokens=4_000, cost_nanos=19_000_000), 3_211, 17_654_321)
        room.turn(1)
    del units[:]
    holds = [room.admitted(tokens=11, cost_nanos=19_876_543) for _ in range(16)]
    assert len(room.item()["slots"]) == 16
    assert max(units) <= 2
    del units[:]
    for hold in holds:
        room.renew(hold)
        room.settle(hold, 10, 12_345_678)
    assert max(units) <= 2


def test_a_table_that_is_gone_is_unavailable(dynamodb_table: PhysicalTable) -> None:
    room = Room(PhysicalTable(dynamodb_table.client, dynamodb_table.name), PRO)
    hold = room.admitted()
    events = dynamodb_table.client.meta.events

    def fail(**_: object) -> None:
        from botocore.exceptions import ConnectTimeoutError

        raise ConnectTimeoutError(endpoint_url="gone")

    events.register("before-call.dynamodb.UpdateItem", fail)
    room.skew = timedelta()
    for act in (room.admit, lambda: room.settle(hold), lambda: room.renew(hold)):
        with pytest.raises(Unavailable):
            act()
    events.unregister("before-call.dynamodb.UpdateItem", fail)
    room.settle(hold)
