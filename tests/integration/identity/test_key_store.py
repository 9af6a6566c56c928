"""API keys of tenants and of the platform, in the table."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from atrium.identity.keys.issue import issue_key
from atrium.identity.keys.model import ApiKey
from atrium.identity.keys.store import KeyStore
from atrium.kernel.errors import Conflict, Unavailable
from atrium.kernel.ids import TenantId, mint_key_id
from atrium.kernel.pagination import PageRequest
from atrium.storage.secrets import Pepper
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable

from tests.builders.gateway import OTHER_TENANT_ID, TENANT_ID
from tests.builders.refusals import losing_reply
from tests.builders.runtimes import NOON

LATER = NOON + timedelta(seconds=61)


@pytest.fixture(params=["tenant", "platform"])
def store(request: pytest.FixtureRequest, physical_table: PhysicalTable) -> KeyStore:
    if request.param == "tenant":
        return KeyStore(TenantTable(physical_table, TenantId(TENANT_ID)))
    return KeyStore(PlatformTable(physical_table))


def make(store: KeyStore, **changes: Any) -> ApiKey:
    tenant_id = store.table.tenant_id if isinstance(store.table, TenantTable) else None
    issued = issue_key("dev", Pepper(1, b"p" * 32), tenant_id=tenant_id, name="n", scopes=["chat"], now=NOON)
    key = replace(issued.key, **changes)
    store.create(key)
    return key


def test_reads_back_a_key(store: KeyStore) -> None:
    key = make(store, expires_at=LATER, created_by="usr_1")
    assert store.get(key.id) == key
    assert store.list(PageRequest()).items == [key]
    assert store.get(mint_key_id(NOON)) is None


def test_repeating_a_creation_is_not_an_error(store: KeyStore) -> None:
    key = make(store)
    store.create(key)
    with pytest.raises(Conflict):
        store.create(replace(key, digest=b"\0" * 32))
    assert store.get(key.id) == key


def test_changes(store: KeyStore) -> None:
    key = make(store, expires_at=LATER)
    changed = store.change(key.id, {"name": "other", "scopes": ["admin"], "expires_at": None}, now=LATER)
    assert changed == replace(key, name="other", scopes=("admin",), expires_at=None, updated_at=LATER)
    assert store.get(key.id) == changed
    assert store.change(mint_key_id(NOON), {"name": "x"}, now=NOON) is None


def test_an_end_can_only_move_earlier(store: KeyStore) -> None:
    key = make(store)
    for at, expected in ((60, 60), (120, 60), (30, 30), (30, 30), (0, 0)):
        moment = NOON + timedelta(seconds=at)
        revoked = store.revoke(key.id, at=moment, now=NOON)
        assert revoked
        assert revoked.revoked_at == NOON + timedelta(seconds=expected)
    assert store.revoke(mint_key_id(NOON), at=NOON, now=NOON) is None


def test_a_revocation_whose_reply_was_lost(store: KeyStore, physical_table: PhysicalTable) -> None:
    key = make(store)
    with losing_reply(physical_table, "UpdateItem"):
        with pytest.raises(Unavailable):
            store.revoke(key.id, at=NOON, now=NOON)
        revoked = store.revoke(key.id, at=NOON, now=NOON)
    assert revoked
    assert revoked.revoked_at == NOON


def test_rotation_makes_one_and_ends_the_other(store: KeyStore) -> None:
    old = make(store)
    new = replace(make(store), id=mint_key_id(LATER))
    store.rotate(old, new, at=LATER, now=NOON)
    ended = store.get(old.id)
    assert ended
    assert ended.revoked_at == LATER
    assert store.get(new.id) == new


def test_a_rotation_of_what_has_ended_makes_nothing(store: KeyStore) -> None:
    old, gone = make(store), make(store)
    store.revoke(old.id, at=NOON, now=NOON)
    store.delete(gone.id)
    for each in (old, gone):
        new = replace(old, id=mint_key_id(LATER))
        with pytest.raises(Conflict):
            store.rotate(each, new, at=LATER, now=NOON)
        assert store.get(new.id) is None


def test_deletion(store: KeyStore) -> None:
    key = make(store)
    assert store.delete(key.id)
    assert not store.delete(key.id)
    assert store.list(PageRequest()).items == []


def test_records_the_last_use_once_a_minute(store: KeyStore) -> None:
    key = make(store)
    for at, expected in ((0, 0), (30, 0), (59, 0), (60, 60), (61, 60)):
        store.note_use(key.id, now=NOON + timedelta(seconds=at))
        noted = store.get(key.id)
        assert noted
        assert noted.last_used_at == NOON + timedelta(seconds=expected)
    store.delete(key.id)
    store.note_use(key.id, now=LATER)
    assert store.get(key.id) is None


def test_lists_go_on_from_page_to_page(store: KeyStore) -> None:
    made = [make(store, id=mint_key_id(NOON + timedelta(seconds=at))) for at in range(5)]
    first = store.list(PageRequest(2))
    second = store.list(PageRequest(2, first.position))
    third = store.list(PageRequest(2, second.position))
    assert [*first.items, *second.items, *third.items] == made
    assert third.position is None


def test_separates_keys_of_tenants_and_platform(physical_table: PhysicalTable) -> None:
    stores = [KeyStore(TenantTable(physical_table, TenantId(each))) for each in (TENANT_ID, OTHER_TENANT_ID)]
    stores.append(KeyStore(PlatformTable(physical_table)))
    made = [make(each) for each in stores]
    for at, each in enumerate(stores):
        assert each.list(PageRequest()).items == [made[at]]
        for other in made[:at] + made[at + 1 :]:
            assert each.get(other.id) is None
            assert each.revoke(other.id, at=NOON, now=NOON) is None
            assert not each.delete(other.id)
