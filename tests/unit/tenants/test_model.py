"""The values of a tenant: equal names, enabled features, and visibility by status."""

from dataclasses import replace
from typing import Any

import pytest
from atrium.kernel.ids import TenantId
from atrium.tenants.model import Tenant, find_settings_fault, same_name

from tests.builders.gateway import TENANT_ID
from tests.builders.runtimes import NOON

TENANT = Tenant(TenantId(TENANT_ID), "acme", "Acme", "pro", "active", NOON, NOON)


@pytest.mark.parametrize(
    ("one", "other"), [("Acme", "acme"), ("straße", "STRASSE"), ("u\u0308ber", "\u00dcber"), ("ｆｕｌｌ", "full")]
)
def test_equal_names(one: str, other: str) -> None:
    assert same_name(one) == same_name(other)


@pytest.mark.parametrize(("one", "other"), [("acme", "acme2"), ("a-b", "ab"), ("a b", "ab")])
def test_different_names(one: str, other: str) -> None:
    assert same_name(one) != same_name(other)


def test_features_are_the_enabled_switches() -> None:
    tenant = replace(TENANT, settings={"features": {"beta": True, "alpha": True, "off": False}, "other": 1})
    assert tenant.features == ("alpha", "beta")
    assert TENANT.features == ()


@pytest.mark.parametrize(
    "settings",
    [
        {"features": ["beta"]},
        {"features": {"beta": "yes"}},
        {"features": {"beta": 1}},
        {"features": {"two words": True}},
        {"features": {"": True}},
        {"features": {"a" * 65: True}},
        {"features": {f"f{number}": True for number in range(51)}},
    ],
)
def test_rejects_invalid_features(settings: dict[str, Any]) -> None:
    fault = find_settings_fault(settings)
    assert fault
    assert fault[0] == "features"


@pytest.mark.parametrize("mode", ["on", "", None, True, ["flag"]])
def test_rejects_an_invalid_mode_of_screening(mode: Any) -> None:
    fault = find_settings_fault({"prompt_injection": mode})
    assert fault
    assert fault[0] == "prompt_injection"


def test_accepts_any_other_settings() -> None:
    assert find_settings_fault({"anything": [1, {"deep": None}], "features": {"a.b-c_1": False}}) is None


@pytest.mark.parametrize(
    ("changes", "active", "visible"),
    [
        ({}, True, True),
        ({"status": "suspended"}, False, True),
        ({"status": "deleted"}, False, False),
        ({"opening": "mark"}, False, False),
    ],
)
def test_visibility_by_status(changes: dict[str, Any], active: bool, visible: bool) -> None:
    tenant = replace(TENANT, **changes)
    assert (tenant.is_active, tenant.is_visible) == (active, visible)
