"""A load that is steady: how much of it is refused at exactly the limit, and what a decision costs in writes."""

from typing import Any

import pytest
from atrium.quotas.model import Hold, Limits
from atrium.storage.table import PhysicalTable

from tests.unit.quotas.rooms import Room

FREE: Limits = {"requests_per_minute": 60, "tokens_per_minute": 40_000, "tokens_per_month": 100_000}


def count_writes(table: PhysicalTable) -> list[str]:
    writes: list[str] = []

    def note(params: dict[str, Any], **_: object) -> None:
        writes.append(params["UpdateExpression"])

    table.client.meta.events.register("provide-client-params.dynamodb.UpdateItem", note)
    return writes


@pytest.mark.timeout(120)
@pytest.mark.parametrize("jitter", [0.0, 0.45])
def test_a_load_at_exactly_the_limit_is_refused_three_percent_at_most(
    physical_table: PhysicalTable, jitter: float, request: pytest.FixtureRequest
) -> None:
    """Three minutes on DynamoDB Local; on moto half of that, which goes once round all seconds."""
    calls = 90 if request.config.getoption("--dynamodb") == "moto" else 180
    room = Room(physical_table, FREE)
    times: list[float] = []
    refused = 0
    for number in range(calls):
        shift = jitter * (1 if number % 2 else -1)
        room.turn(1.0 + (shift if number else 0.0) - (0 if number < 2 else -shift))
        hold = room.admit(tokens=10, read=room.read())
        if isinstance(hold, Hold):
            room.settle(hold, 10, 0)
            times.append(room.now.timestamp())
        else:
            refused += 1
    assert refused / calls <= 0.03
    assert all(sum(1 for other in times if 0 <= other - first < 60) <= 60 for first in times)


def test_one_call_every_ten_seconds_takes_one_write_each(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, FREE)
    writes = count_writes(physical_table)
    for _ in range(30):
        room.admit(tokens=10, read=room.read())
        room.turn(10)
    assert len(writes) == 30


def test_calls_of_one_second_take_one_write_each_and_no_read(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, FREE)
    room.admitted(tokens=10)
    writes = count_writes(physical_table)
    for _ in range(20):
        room.admitted(tokens=10)
    assert len(writes) == 20


def test_a_refusal_that_the_read_shows_takes_no_write(physical_table: PhysicalTable) -> None:
    room = Room(physical_table, {"requests_per_minute": 1})
    room.admitted()
    writes = count_writes(physical_table)
    room.admit(read=room.read())
    assert writes == []
