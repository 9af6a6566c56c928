"""No write into a tenant's partition can grant permissions of the platform operator."""

import pytest
from atrium.kernel.errors import Forbidden
from atrium.kernel.ids import TenantId
from atrium.storage.keys import Key
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.storage.writes import ANY, GRANTS, Put, Update, refuse_operator_grant
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.gateway import TENANT_ID

KEY = Key("", "KEY#key_1")
NAMES = st.sampled_from(sorted(GRANTS))
WORDS = st.sampled_from(["chat", "admin", "user", "platforms", "the platform", "PLATFORM", ""])
SHAPES = st.recursive(
    st.just("platform"),
    lambda inner: st.one_of(
        st.tuples(st.lists(WORDS), inner).map(lambda pair: [*pair[0], pair[1]]),
        inner.map(lambda value: {"some group": value}),
    ),
    max_leaves=3,
)


def writes(name: str, value: object) -> list[Put | Update]:
    """Return one write of each kind that sets an attribute."""
    appended = f"SET #{name} = list_append(if_not_exists(#{name}, :none), :value)"
    return [
        Put(KEY, {"id": "key_1", name: value}, ANY),
        Update(KEY, f"SET #updated_at = :now, #{name} = :value", ANY, {"now": "now", "value": value}),
        Update(KEY, "SET #x = :value REMOVE #limits", ANY, {"value": value}, {"x": name}),
        Update(KEY, f"SET #{name} = if_not_exists(#{name}, :value)", ANY, {"value": value}),
        Update(KEY, appended, ANY, {"none": [], "value": value}),
        Update(KEY, f"SET #{name}.#inner = :value, #n = #n + :one", ANY, {"value": value, "one": 1}),
        Update(KEY, f"ADD #n :one, #{name} :value", ANY, {"value": value, "one": 1}),
    ]  # fmt: skip


@given(name=NAMES, value=SHAPES)
def test_rejects_operator_grants_in_every_kind_of_write(name: str, value: object) -> None:
    for write in writes(name, value):
        with pytest.raises(Forbidden):
            refuse_operator_grant(write)


@given(name=NAMES, value=st.one_of(WORDS, st.lists(WORDS), st.dictionaries(WORDS, WORDS)))
def test_accepts_grants_of_a_tenant(name: str, value: object) -> None:
    for write in writes(name, value):
        refuse_operator_grant(write)


def test_accepts_the_word_in_other_attributes() -> None:
    values = {"name": "platform", "role": "user"}
    refuse_operator_grant(Put(KEY, {"name": "platform", "tags": ["platform"]}, ANY))
    refuse_operator_grant(Update(KEY, "SET #name = :name, #role = :role", "#name = :name", values))
    refuse_operator_grant(Put(Key("", "CONNECTION#usr_1#slack"), {"scopes": ["platform"]}, ANY))


def test_only_tenant_tables_reject_operator_grants(physical_table: PhysicalTable) -> None:
    tenant, item = TenantTable(physical_table, TenantId(TENANT_ID)), {"scopes": ["platform"]}
    for write in (Put(KEY, item, ANY), Update(KEY, "SET #scopes = :scopes", ANY, item)):
        with pytest.raises(Forbidden):
            tenant.write(write)
        with pytest.raises(Forbidden):
            tenant.transact([write])
    assert tenant.get(KEY) is None
    PlatformTable(physical_table).write(Put(Key("KEYS", "KEY#key_1"), item, ANY))
