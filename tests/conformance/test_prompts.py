"""Concurrent changes of prompts, on DynamoDB Local: names are unique, and versions have no gaps and never change."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from atrium.kernel.clock import read_clock
from atrium.kernel.errors import Conflict, Unavailable
from atrium.kernel.pagination import PageRequest, read_all
from atrium.prompts.model import Prompt
from atrium.prompts.service import PromptService
from atrium.prompts.store import PromptStore
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.storage.writes import ANY, Put
from atrium.tenants.auditing import open_audit
from atrium.tenants.counts import read_counts

from tests.builders.tenant_env import ADMIN, TENANT

THREADS = 16


@pytest.fixture
def prompts(dynamodb_table: PhysicalTable) -> PromptService:
    table = TenantTable(dynamodb_table, TENANT)
    table.write(Put(keys.tenant(), {"id": TENANT, "plan": "pro", "config_version": 1}, ANY))
    return PromptService(PromptStore(table), read_clock, open_audit(ADMIN, table, read_clock), lambda _: ())


def create(prompts: PromptService, template: str) -> Prompt | None:
    while True:
        try:
            return prompts.create("desk", "", template, ())
        except Unavailable:  # two transactions conflicted
            continue
        except Conflict:
            return None


def test_one_of_concurrent_creations_gets_the_name(prompts: PromptService) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        made = [each for each in pool.map(lambda at: create(prompts, f"text {at}"), range(THREADS)) if each]
    assert len(made) == 1
    found = prompts.store.find("desk")
    assert found is not None
    assert (found.id, found.newest.template) == (made[0].id, made[0].newest.template)
    assert read_counts(prompts.store.table.get(keys.counts())).prompts == 1


def test_concurrent_changes_make_versions_without_gaps(prompts: PromptService) -> None:
    made = create(prompts, "text")
    assert made is not None

    def change(at: int) -> Prompt | None:
        try:
            return prompts.change(made.id, {"template": f"text {at}"})
        except (Conflict, Unavailable):
            return None

    with ThreadPoolExecutor(THREADS) as pool:
        changed = [each.newest for each in pool.map(change, range(THREADS * 3)) if each]
    stored = list(read_all(lambda page: prompts.list_versions(made.id, page)))
    assert [each.version for each in stored] == list(range(len(changed) + 1, 0, -1))
    assert {each.version: each.template for each in changed} == {each.version: each.template for each in stored[:-1]}
    assert prompts.get(made.id).newest == stored[0]
    assert len(prompts.list(PageRequest(limit=100)).items) == 4
