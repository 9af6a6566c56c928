"""The service on an empty table, and a world to rebuild."""

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
