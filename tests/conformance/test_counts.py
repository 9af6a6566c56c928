"""Concurrent creation and deletion of agents, on DynamoDB Local.

The limit is never exceeded, and the count remains correct.
"""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from atrium.agent.service import AgentService
from atrium.agent.store import AgentStore
from atrium.kernel.clock import read_clock
from atrium.kernel.errors import Conflict, CountExceeded, NotFound, Unavailable
from atrium.kernel.pagination import PageRequest
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.storage.writes import ANY, Put
from atrium.tenants.auditing import open_audit
from atrium.tenants.counts import read_counts
from atrium.tools.registry import BUILT_IN

from tests.builders.tenant_env import ADMIN, TENANT

THREADS = 16
LIMIT = 7


@pytest.fixture
def agents(dynamodb_table: PhysicalTable) -> AgentService:
    table = TenantTable(dynamodb_table, TENANT)
    item = {"id": TENANT, "plan": "pro", "config_version": 1, "limits": {"agents": LIMIT}}
    table.write(Put(keys.tenant(), item, ANY))
    return AgentService(ADMIN, AgentStore(table), read_clock, open_audit(ADMIN, table, read_clock), BUILT_IN)


def create(agents: AgentService, name: str) -> str:
    while True:
        try:
            agents.create({"name": name, "model": "claude-haiku-5-5"}, is_default=False)
        except Unavailable:  # two transactions conflicted
            continue
        except CountExceeded:
            return "full"
        return "made"


def test_creates_exactly_the_limit(agents: AgentService) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        told = list(pool.map(lambda number: create(agents, f"n{number}"), range(THREADS * 3)))
    assert (told.count("made"), told.count("full")) == (LIMIT, THREADS * 3 - LIMIT)
    assert len(agents.list(PageRequest(limit=100)).items) == LIMIT


def test_a_concurrent_deletion_frees_one(agents: AgentService) -> None:
    def act(seed: int) -> int:
        chance, most = random.Random(seed), 0
        for turn in range(6):
            found = agents.list(PageRequest(limit=100)).items
            most = max(most, len(found))
            if chance.random() < 0.5 or not found:
                create(agents, f"{seed}-{turn}")
                continue
            try:
                agents.delete(chance.choice(found).agent.id)
            except (NotFound, Conflict, Unavailable):
                continue
        return most

    with ThreadPoolExecutor(THREADS) as pool:
        most = max(pool.map(act, range(THREADS)))
    assert most <= LIMIT
    left = len(agents.list(PageRequest(limit=100)).items)
    assert read_counts(agents.store.table.get(keys.counts())).agents == left
    for number in range(LIMIT - left):
        assert create(agents, f"last-{number}") == "made"
    assert create(agents, "one more") == "full"
