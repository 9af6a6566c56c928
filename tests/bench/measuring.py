"""Measurements of repeated calls: percentiles of time, CPU time of this process, and consumed capacity of the table."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from atrium.bootstrap import Runtime
from atrium.settings import Settings
from atrium.storage.table import PhysicalTable

from infra.runtime.resources import REGION

_READS = frozenset({"GetItem", "BatchGetItem", "Query", "TransactGetItems"})
_TRANSACTION = "TransactWriteItems"
_OPERATIONS = ("GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", _TRANSACTION)

type Figures = dict[str, float]


def production_table(url: str, name: str) -> PhysicalTable:
    """Return a table on DynamoDB Local with the same client configuration as a function."""
    os.environ |= {
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    return Runtime(Settings.read({"TABLE_NAME": name, "CORS_ORIGINS": "*"})).table


def percentile(values: list[float], part: float) -> float:
    """Return a percentile of the values without interpolation. `part` is between 0 and 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@dataclass
class Consumed:
    """The capacity that calls to the table consumed. Thread-safe."""

    noted: list[tuple[str, float]] = field(default_factory=list)

    def note(self, operation: str, answer: dict[str, Any]) -> None:
        found = answer.get("ConsumedCapacity", [])
        units = sum(each["CapacityUnits"] for each in (found if isinstance(found, list) else [found]))
        self.noted.append((operation, units))

    def units(self, *, reads: bool) -> float:
        return sum(units for operation, units in self.noted if (operation in _READS) is reads)


@contextmanager
def consuming(table: PhysicalTable) -> Iterator[Consumed]:
    """Request the consumed capacity of every call to the table. Yield the recorded capacity.

    DynamoDB reports no capacity for a failed conditional write. DynamoDB Local reports the capacity of only one
    operation of a transaction. Therefore, each operation of a transaction is counted as two units, the cost on AWS for
    an item of at most 1 kB without an index.
    """
    consumed = Consumed()

    def ask(params: dict[str, Any], event_name: str, **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"
        if event_name.endswith(_TRANSACTION):
            consumed.noted.append((_TRANSACTION, 2.0 * len(params["TransactItems"])))

    def note(parsed: dict[str, Any], event_name: str, **_: object) -> None:
        operation = event_name.rpartition(".")[2]
        if operation != _TRANSACTION:
            consumed.note(operation, parsed)

    events = table.client.meta.events
    for operation in _OPERATIONS:
        events.register(f"provide-client-params.dynamodb.{operation}", ask)
        events.register(f"after-call.dynamodb.{operation}", note)
    yield consumed
    for operation in _OPERATIONS:
        events.unregister(f"provide-client-params.dynamodb.{operation}", ask)
        events.unregister(f"after-call.dynamodb.{operation}", note)


@dataclass
class Series:
    """The results of one repeated call.

    `cpu` contains the CPU time of the whole process, so do not measure several calls concurrently.
    """

    name: str
    times: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    read_units: list[float] = field(default_factory=list)
    write_units: list[float] = field(default_factory=list)

    def measure[**P, Answer](
        self, table: PhysicalTable, act: Callable[P, Answer], *arguments: P.args, **named: P.kwargs
    ) -> Answer:
        """Run the call once and record its time and its consumed capacity."""
        with consuming(table) as consumed:
            began, cpu = time.perf_counter(), time.process_time()
            answer = act(*arguments, **named)
            self.cpu.append(time.process_time() - cpu)
            self.times.append(time.perf_counter() - began)
        self.calls.append(len(consumed.noted))
        self.read_units.append(consumed.units(reads=True))
        self.write_units.append(consumed.units(reads=False))
        return answer

    def figures(self, baseline: "Series | None" = None) -> Figures:
        """Return means and percentiles. `ratio_p50` is the ratio of the median time to the baseline's median time."""
        count = len(self.times)
        base = baseline or self
        return {
            "count": count,
            "table_calls": round(sum(self.calls) / count, 2),
            "read_units": round(sum(self.read_units) / count, 2),
            "write_units": round(sum(self.write_units) / count, 2),
            "p50_ms": round(percentile(self.times, 0.5) * 1000, 2),
            "p99_ms": round(percentile(self.times, 0.99) * 1000, 2),
            "ratio_p50": round(percentile(self.times, 0.5) / percentile(base.times, 0.5), 2),
            "cpu_ms": round(percentile(self.cpu, 0.5) * 1000, 2),
        }
