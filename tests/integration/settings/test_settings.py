"""`/v1/settings`: reads and partial changes. Each change is audited and increments the configuration version."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.builders.api_env import assert_problem
from tests.builders.authorizing import bearer
from tests.integration.admin_keys.conftest import TenantEnv


def test_changes_settings_in_part(tenant_env: TenantEnv, client: TestClient) -> None:
    made = tenant_env.deployment.tenants.change(
        tenant_env.made.tenant.id, {"settings": {"theirs": 1, "features": {"beta": False}}}
    )
    before = client.get("/v1/settings").json()
    begun = made.config_version
    assert before == {
        "features": {"beta": False}, "audits_all": False, "prompt_injection": "flag", "config_version": begun,
        "outbound": {"allow": [], "deny": []}, "platform_model_key": True, "undelete_days": 7,
        "session_retention_days": None, "updated_at": before["updated_at"],
    }  # fmt: skip
    changed = client.patch("/v1/settings", json={"features": {"beta": True, "old": False}}).json()
    assert (changed["features"], changed["config_version"]) == ({"beta": True, "old": False}, begun + 1)
    changed = client.patch("/v1/settings", json={"features": {"old": None}, "audits_all": True}).json()
    assert (changed["features"], changed["audits_all"]) == ({"beta": True}, True)
    assert client.get("/v1/settings").json() == changed
    assert client.patch("/v1/settings", json={"audits_all": True}).json()["config_version"] == begun + 2
    events = client.get("/v1/audit").json()["data"]
    assert [event["details"]["action"] for event in events] == ["settings.change"] * 2
    kept = tenant_env.deployment.tenants.get(tenant_env.made.tenant.id)
    assert kept.settings == {"theirs": 1, "features": {"beta": True}, "audits_all": True}


def test_the_setting_reaches_the_routes_through_the_authorizer(tenant_env: TenantEnv, client: TestClient) -> None:
    client.patch("/v1/settings", json={"audits_all": True})
    assert tenant_env.made.key
    fields = tenant_env.authorizer_env.context(bearer(tenant_env.made.key.text))
    assert fields["audits_all"] is True


def test_the_screening_of_messages_reaches_the_routes_with_the_authorizer(
    tenant_env: TenantEnv, client: TestClient
) -> None:
    assert client.patch("/v1/settings", json={"prompt_injection": "refuse"}).json()["prompt_injection"] == "refuse"
    assert tenant_env.made.key
    assert tenant_env.authorizer_env.context(bearer(tenant_env.made.key.text))["prompt_injection"] == "refuse"


def test_changes_one_list_of_hosts_without_the_other(client: TestClient) -> None:
    client.patch("/v1/settings", json={"outbound": {"allow": ["*.example.com", "2606:4700::1111"]}})
    changed = client.patch("/v1/settings", json={"outbound": {"deny": ["ads.example.com"]}}).json()
    assert changed["outbound"] == {"allow": ["*.example.com", "2606:4700::1111"], "deny": ["ads.example.com"]}
    assert client.patch("/v1/settings", json={"outbound": {"allow": []}}).json()["outbound"]["allow"] == []


def test_the_retention_of_sessions_is_set_and_cleared(client: TestClient) -> None:
    changed = client.patch("/v1/settings", json={"undelete_days": 0, "session_retention_days": 30}).json()
    assert (changed["undelete_days"], changed["session_retention_days"]) == (0, 30)
    cleared = client.patch("/v1/settings", json={"session_retention_days": None}).json()
    assert (cleared["undelete_days"], cleared["session_retention_days"]) == (0, None)


@pytest.mark.parametrize(
    "body",
    [
        {"unknown": 1},
        {"features": {"Beta!": True}},
        {"features": {"beta": 1}},
        {"features": None},
        {"audits_all": "yes"},
        {"prompt_injection": "maybe"},
        {"prompt_injection": None},
        {"outbound": None},
        {"platform_model_key": "no"},
        {"platform_model_key": None},
        {"undelete_days": 91},
        {"undelete_days": -1},
        {"undelete_days": None},
        {"undelete_days": True},
        {"session_retention_days": 0},
        {"session_retention_days": 3_651},
        {"session_retention_days": "30"},
        {"outbound": {"allow": ["example.com/path"]}},
        {"outbound": {"allow": ["Example.com"]}},
        {"outbound": {"deny": ["*"]}},
        {"outbound": {"deny": ["10.0.0.1:80"]}},
        {"outbound": {"deny": [f"h{number}.example" for number in range(101)]}},
        {"outbound": {"hosts": []}},
        {"features": {f"f{number}": True for number in range(51)}},
    ],
)
def test_422_for_invalid_settings(client: TestClient, body: dict[str, Any]) -> None:
    before = client.get("/v1/settings").json()
    assert_problem(client.patch("/v1/settings", json=body), 422, "VALIDATION_FAILED")
    assert client.get("/v1/settings").json() == before


def test_403_without_admin(tenant_env: TenantEnv) -> None:
    client = tenant_env.call_as(scopes="chat agents:write")
    assert_problem(client.get("/v1/settings"), 403, "SCOPE_REQUIRED")
    assert_problem(client.patch("/v1/settings", json={}), 403, "SCOPE_REQUIRED")
