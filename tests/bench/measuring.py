"""Figures of repeated calls: percentiles of time, and what the table says that it consumed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from atrium.storage.table import PhysicalTable

_READS = frozenset({"GetItem", "BatchGetItem", "Query", "TransactGetItems"})
_OPERATIONS = ("GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems")


def percentile(values: list[float], part: float) -> float:
    """Return the value below which a part of them lies; the nearest that was seen."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@dataclass
class Consumed:
    """What calls to the table have consumed; they may come from several threads."""

    noted: list[tuple[str, float]] = field(default_factory=list)

    def note(self, operation: str, answer: dict[str, Any]) -> None:
        found = answer.get("ConsumedCapacity", [])
        units = sum(each["CapacityUnits"] for each in (found if isinstance(found, list) else [found]))
        self.noted.append((operation, units))

    def units(self, *, reads: bool) -> float:
        return sum(units for operation, units in self.noted if (operation in _READS) is reads)


@contextmanager
def consuming(table: PhysicalTable) -> Iterator[Consumed]:
    """Ask for the capacity of every call to the table, which tells none for a write whose condition failed."""
    consumed = Consumed()

    def ask(params: dict[str, Any], **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"

    def note(parsed: dict[str, Any], event_name: str, **_: object) -> None:
        consumed.note(event_name.rpartition(".")[2], parsed)

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
    """One kind of call, many times."""

    name: str
    times: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    read_units: list[float] = field(default_factory=list)
    write_units: list[float] = field(default_factory=list)

    def measure[Answer](self, table: PhysicalTable, act: Callable[[], Answer]) -> Answer:
        """Do it once, with its time and consumption."""
        with consuming(table) as consumed:
            began = time.perf_counter()
            answer = act()
            self.times.append(time.perf_counter() - began)
        self.calls.append(len(consumed.noted))
        self.read_units.append(consumed.units(reads=True))
        self.write_units.append(consumed.units(reads=False))
        return answer

    def figures(self) -> dict[str, float]:
        count = len(self.times)
        return {
            "count": count,
            "table_calls": round(sum(self.calls) / count, 2),
            "read_units": round(sum(self.read_units) / count, 2),
            "write_units": round(sum(self.write_units) / count, 2),
            "p50_ms": round(percentile(self.times, 0.5) * 1000, 2),
            "p99_ms": round(percentile(self.times, 0.99) * 1000, 2),
        }
