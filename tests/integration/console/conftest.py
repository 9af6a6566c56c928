"""The console on an empty table, called without a credential."""

import pytest
from atrium.storage.table import PhysicalTable
from starlette.testclient import TestClient

from functions.console.app import build
from tests.builders.gateway import call_as
from tests.builders.runtimes import build_runtime


@pytest.fixture
def client(physical_table: PhysicalTable) -> TestClient:
    return call_as(build(build_runtime(table=physical_table)), None, stage_prefix="/dev")
