"""The sample application, and a client of one tenant."""

from dataclasses import dataclass

import pytest
from atrium.storage.table import PhysicalTable
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.builders.gateway import Fields, call_as, tenant_fields
from tests.builders.runtimes import TurnedClock, build_runtime
from tests.builders.things import Things, build_things


@dataclass
class Sample:
    """An application on an empty table, its endpoints, and its clock."""

    app: FastAPI
    things: Things
    clock: TurnedClock

    def call_as(self, fields: Fields | None, *, stage_prefix: str = "", remaining_ms: int = 25_000) -> TestClient:
        return call_as(self.app, fields, stage_prefix=stage_prefix, remaining_ms=remaining_ms, documented=False)


@pytest.fixture
def sample(physical_table: PhysicalTable) -> Sample:
    clock = TurnedClock()
    app, things = build_things(build_runtime(table=physical_table, clock=clock))
    return Sample(app, things, clock)


@pytest.fixture
def client(sample: Sample) -> TestClient:
    return sample.call_as(tenant_fields())
