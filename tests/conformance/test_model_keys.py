"""Concurrent changes of a tenant's model keys, on DynamoDB Local. The tenant's set names exactly the stored keys."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from atrium.kernel.clock import read_clock
from atrium.kernel.errors import Conflict, Unavailable
from atrium.settings import MODEL_VENDORS
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.storage.writes import ANY, Put
from atrium.tenants.auditing import open_audit
from atrium.tenants.model_keys.model import ModelKey
from atrium.tenants.model_keys.store import ModelKeyStore

from tests.builders.runtimes import NOON
from tests.builders.tenant_env import ADMIN, TENANT

THREADS, CHANGES = 8, 160


def test_concurrent_changes_leave_the_tenants_set_and_the_keys_equal(dynamodb_table: PhysicalTable) -> None:
    table = TenantTable(dynamodb_table, TENANT)
    table.write(Put(keys.tenant(), {"status": "active", "config_version": 1}, ANY))
    store, audit = ModelKeyStore(table), open_audit(ADMIN, table, read_clock)

    def change(seed: int) -> bool:
        choice = random.Random(seed)
        provider = choice.choice(MODEL_VENDORS)
        before, record = store.get(provider), audit.recording("admin.change", {"action": "model_key.set"})
        first = ModelKey(provider, "sk-…", b"x", 1, NOON, NOON, NOON)
        try:
            if before is not None and choice.random() < 0.5:
                store.delete(before, record)
            else:
                store.put(replace(first, version=before.version + 1) if before else first, record, before=before)
        except (Conflict, Unavailable):  # Unavailable: two transactions conflicted
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        changed = sum(pool.map(change, range(CHANGES)))
    item = table.get(keys.tenant()) or {}
    assert item.get("model_keys", set()) == {key.provider for key in store.list()}
    assert 0 < changed < CHANGES
    assert item["config_version"] == 1 + changed
