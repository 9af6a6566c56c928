"""Users in the table, and the login index that finds users by email."""

from dataclasses import replace
from typing import Any

import pytest
from atrium.identity.users.model import User
from atrium.identity.users.store import UserStore
from atrium.kernel.errors import Conflict
from atrium.kernel.ids import TenantId, mint_user_id
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, TenantTable

from tests.builders.gateway import OTHER_TENANT_ID, TENANT_ID
from tests.builders.runtimes import NOON


def open_store(table: PhysicalTable, tenant_id: str = TENANT_ID) -> UserStore:
    return UserStore(TenantTable(table, TenantId(tenant_id)))


def make(store: UserStore, email: str = "Ann@b.example", **changes: Any) -> User:
    user = User(mint_user_id(NOON), store.table.tenant_id, email, "admin", "active", NOON, NOON, password_hash="$hash")
    user = replace(user, **changes)
    store.create(user)
    return user


def test_reads_back_a_user(physical_table: PhysicalTable) -> None:
    store = open_store(physical_table)
    user = make(store, name="Ann", last_login_at=NOON, token_version=3)
    assert store.get(user.id) == user
    assert store.find("ANN@B.example") == user
    assert store.find("bob@b.example") is None
    assert store.get(mint_user_id(NOON)) is None


def test_an_email_is_given_once_in_a_tenant(physical_table: PhysicalTable) -> None:
    store, other = open_store(physical_table), open_store(physical_table, OTHER_TENANT_ID)
    first = make(store)
    again = replace(first, id=mint_user_id(NOON), email="ann@B.EXAMPLE")
    with pytest.raises(Conflict):
        store.create(again)
    assert store.get(again.id) is None
    assert make(other).email == first.email


def test_the_login_index_finds_an_email_in_every_tenant(physical_table: PhysicalTable) -> None:
    stores = [open_store(physical_table), open_store(physical_table, OTHER_TENANT_ID)]
    users = [make(store) for store in stores]
    make(stores[0], "bob@b.example")
    found = physical_table.client.query(
        TableName=physical_table.name,
        IndexName="login",
        KeyConditionExpression="login_pk = :email",
        ExpressionAttributeValues={":email": {"S": keys.login_partition("ann@b.example")}},
    )
    assert [item["login_sk"]["S"] for item in found["Items"]] == [f"{user.tenant_id}#{user.id}" for user in users]
    assert all(set(item) == {"pk", "sk", "login_pk", "login_sk"} for item in found["Items"])
    assert "b.example" not in str(found["Items"])


def test_repr_does_not_show_the_hash(physical_table: PhysicalTable) -> None:
    user = make(open_store(physical_table))
    assert user.password_hash not in repr(user)
