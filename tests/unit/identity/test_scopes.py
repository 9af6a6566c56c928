"""Roles and scopes, and which scopes include other scopes."""

import pytest
from atrium.identity.scopes import (
    KEY_SCOPES_DEFAULT,
    ROLE_SCOPES,
    SCOPES,
    TENANT_SCOPES,
    find_excess,
    list_permissions,
    sort_scopes,
)
from atrium.kernel.errors import ScopeRequired
from atrium.tenants.context import Principal

READS = {"sessions:read", "jobs:read", "agents:read", "usage:read"}


def principal(*scopes: str) -> Principal:
    return Principal("key", "key_1", "a key", frozenset(scopes))


def test_roles_have_the_contracts_scopes() -> None:
    assert ROLE_SCOPES["viewer"] == READS
    assert ROLE_SCOPES["user"] == READS | {"chat", "sessions:write", "jobs:write"}
    assert ROLE_SCOPES["admin"] == set(SCOPES) - {"platform"}
    assert set(KEY_SCOPES_DEFAULT) == {"chat", "sessions:read", "sessions:write"}


def test_admin_includes_a_tenants_scopes_and_never_the_platforms() -> None:
    assert list_permissions(principal("admin")) == TENANT_SCOPES
    assert list_permissions(Principal("platform", "key_0", "ops", frozenset({"platform"}))) == SCOPES
    assert list_permissions(principal("chat")) == ("chat",)
    with pytest.raises(ScopeRequired):
        principal("admin").require("platform")


def test_rejects_granting_scopes_that_the_caller_lacks() -> None:
    assert find_excess(["chat", "sessions:read"], principal("chat")) == ("sessions:read",)
    assert find_excess(["platform"], principal("admin")) == ("platform",)
    assert find_excess(TENANT_SCOPES, principal("admin")) == ()


def test_stores_scopes_once_in_a_fixed_order() -> None:
    assert sort_scopes(["admin", "chat", "admin"]) == ("chat", "admin")
