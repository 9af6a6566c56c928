"""Usage aggregation on DynamoDB Local: concurrent delivery of the same entries, and the cost of counting."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import pytest
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.usage.model import Arrival
from atrium.usage.service import UsageCounter
from atrium.usage.store import LedgerStore
from atrium.usage.sums import SumStore, contributions, merge

from tests.builders.ledger import USER_ID, build_entry
from tests.conformance.counting import Deliveries, deliver

PROCESSES = 3


def settle(table: PhysicalTable, count: int) -> tuple[Arrival, ...]:
    arrivals = []
    for number in range(count):
        entry = replace(build_entry(cost_nanos=number + 1), principal_id=USER_ID if number % 2 else "cli_x")
        assert LedgerStore(TenantTable(table, entry.tenant_id)).put(entry)
        arrivals.append(Arrival(entry, f"{number:021}"))
    return tuple(arrivals)


@contextmanager
def measured_units(table: PhysicalTable) -> Iterator[list[float]]:
    """Request the consumed capacity of each transaction. Yield the list of write units."""
    units: list[float] = []

    def ask(params: dict[str, Any], **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"

    def note(parsed: dict[str, Any], **_: object) -> None:
        units.extend(each["CapacityUnits"] for each in parsed.get("ConsumedCapacity", []))

    events = table.client.meta.events
    events.register("provide-client-params.dynamodb.TransactWriteItems", ask)
    events.register("after-call.dynamodb.TransactWriteItems", note)
    yield units
    events.unregister("provide-client-params.dynamodb.TransactWriteItems", ask)
    events.unregister("after-call.dynamodb.TransactWriteItems", note)


def test_counts_entries_delivered_by_several_processes_once(dynamodb_table: PhysicalTable) -> None:
    arrivals = settle(dynamodb_table, 60)
    url = dynamodb_table.client.meta.endpoint_url
    given = [Deliveries(url, dynamodb_table.name, arrivals, seed) for seed in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        assert sum(pool.map(deliver, given)) > 3 * 2 * 60 / 12

    expected = merge(contributions(arrival.entry) for arrival in arrivals)
    tenant_id = arrivals[0].entry.tenant_id
    assert SumStore(TenantTable(dynamodb_table, tenant_id)).read(expected) == expected


@pytest.mark.parametrize(("count", "units_max"), [(1, 6), (50, 106)])
def test_cost_of_counting(dynamodb_table: PhysicalTable, count: int, units_max: int) -> None:
    arrivals = settle(dynamodb_table, count)
    with measured_units(dynamodb_table) as units:
        UsageCounter(lambda tenant_id: TenantTable(dynamodb_table, tenant_id)).count(arrivals)
    assert len(units) == 1
    assert sum(units) <= units_max
