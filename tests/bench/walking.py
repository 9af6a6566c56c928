"""A whole turn through the real walk on DynamoDB Local, with a model that is scripted: what it costs the table."""

import time

from atrium.storage.table import PhysicalTable

from tests.bench.measuring import Series
from tests.builders.house import open_house

TURNS = 40


def measure_walk(physical: PhysicalTable) -> dict[str, dict[str, float]]:
    """Return the figures of a turn in a known session: one message, one answer, everything but HTTP and the model."""
    found: dict[str, dict[str, float]] = {}
    with open_house(physical, on_moto=False) as house:
        session = house.open_session()
        house.talk("warm up", session_id=session)
        series, began = Series("whole turn"), time.process_time()
        for number in range(TURNS):
            series.measure(physical, lambda number=number: house.talk(f"message {number}", session_id=session))  # type: ignore[misc]
        cpu = (time.process_time() - began) / TURNS
        found["pro: whole turn"] = {**series.figures(), "cpu_ms": round(cpu * 1000, 1)}
    return found
