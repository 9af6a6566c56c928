"""The authorizer's context can be read back after API Gateway has converted its values to strings."""

from typing import Any

import pytest
from atrium.identity.context import read_authorizer_context, to_authorizer_context
from atrium.kernel.errors import Unauthenticated
from atrium.kernel.ids import TenantId
from atrium.tenants.context import Caller, Principal, TenantContext
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.gateway import TENANT_ID, platform_fields, tenant_fields


def carried(fields: dict[str, str | int | bool]) -> dict[str, str]:
    """Return the values as strings, as API Gateway passes them."""
    return {name: str(value) for name, value in fields.items()}


def tenant_call(**changes: Any) -> TenantContext:
    principal = Principal("user", "usr_1", "Zoë 测试", frozenset({"chat", "sessions:read"}), "user")
    fields: dict[str, Any] = {
        "tenant_id": TenantId(TENANT_ID),
        "tenant_name": "Ätna & Söhne",
        "plan": "pro",
        "config_version": 7,
        "caller": Caller(principal, "req-1", "203.0.113.7", "curl", "00-ab"),
        "features": frozenset({"beta", "x.y"}),
    }
    return TenantContext(**{**fields, **changes})


def read(fields: dict[str, str]) -> TenantContext | Caller:
    return read_authorizer_context(
        fields, request_id="req-1", source_ip="203.0.113.7", user_agent="curl", trace_parent="00-ab"
    )


def test_reads_back_a_tenants_call() -> None:
    call = tenant_call()
    assert read(carried(to_authorizer_context(call))) == call


def test_a_platform_call_has_no_tenant() -> None:
    call = Caller(
        Principal("platform", "key_1", "root", frozenset({"platform"})), "req-1", "203.0.113.7", "curl", "00-ab"
    )
    fields = to_authorizer_context(call)
    assert "tenant_id" not in fields
    assert read(carried(fields)) == call


def test_a_platform_call_inside_a_tenant() -> None:
    principal = Principal("platform", "key_1", "root", frozenset({"platform"}))
    call = tenant_call(caller=Caller(principal, "req-1", "203.0.113.7", "curl", "00-ab"), features=frozenset())
    assert read(carried(to_authorizer_context(call))) == call


@given(st.text(max_size=100))
def test_encodes_names_as_ascii(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    fields = carried(to_authorizer_context(tenant_call(tenant_name=name)))
    assert all(value.isascii() and value.isprintable() for value in fields.values())
    call = read(fields)
    assert isinstance(call, TenantContext)
    assert call.tenant_name == name


@pytest.mark.parametrize(
    "fields",
    [
        {},
        tenant_fields(principal_type="root"),
        tenant_fields(principal_type=""),
        tenant_fields(role="owner"),
        tenant_fields(tenant_id=""),
        tenant_fields(tenant_id="ten_x#y"),
        tenant_fields(plan="gold"),
        tenant_fields(config_version="-1"),
        tenant_fields(config_version=""),
        platform_fields(tenant_id="nonsense"),
    ],
)
def test_rejects_contexts_that_are_not_the_authorizers(fields: dict[str, str | int | bool]) -> None:
    with pytest.raises(Unauthenticated):
        read(carried(fields))
