"""Fixtures of the quota tests: the service on an empty table, and a tenant whose counters can be rebuilt."""

import pytest

from tests.builders.quota_env import Quotas
from tests.unit.quotas.rebuilding import RebuildWorld


@pytest.fixture
def quotas() -> Quotas:
    return Quotas()


@pytest.fixture
def world() -> RebuildWorld:
    world = RebuildWorld()
    world.begin()
    return world
