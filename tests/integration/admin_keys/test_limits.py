"""Limits of API keys: storage, responses, changes, rotation, and validation."""

from typing import Any

import pytest
from atrium.storage import keys
from starlette.testclient import TestClient

from tests.builders.authorizing import bearer
from tests.integration.admin_keys.conftest import TenantEnv
from tests.integration.admin_keys.test_200 import create

LIMITS = {"requests_per_minute": 5, "cost_per_month": "0.500000", "tokens_per_month": -1}


def stored(tenant_env: TenantEnv, key_id: str) -> Any:
    item = tenant_env.deployment.runtime.tenant_table(tenant_env.made.tenant.id).get(keys.api_key(key_id))  # type: ignore[arg-type]  # an id from JSON
    assert item is not None
    return item.get("limits")


def test_stores_limits(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client, limits={**LIMITS, "cost_per_month": "0.5", "requests_per_day": None})
    assert made["limits"] == LIMITS
    assert client.get(f"/v1/keys/{made['id']}").json()["limits"] == LIMITS
    assert stored(tenant_env, made["id"]) == {
        "requests_per_minute": 5, "cost_per_month": 500_000_000, "tokens_per_month": -1
    }  # fmt: skip


def test_a_change_replaces_all_limits(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client, limits=LIMITS)
    changed = client.patch(f"/v1/keys/{made['id']}", json={"limits": {"concurrent_turns": 0}}).json()
    assert changed["limits"] == {"concurrent_turns": 0}
    assert client.patch(f"/v1/keys/{made['id']}", json={"name": "other"}).json()["limits"] == {"concurrent_turns": 0}
    assert client.patch(f"/v1/keys/{made['id']}", json={"limits": {}}).json()["limits"] == {}
    assert stored(tenant_env, made["id"]) is None


def test_rotation_keeps_limits_and_counters(tenant_env: TenantEnv, client: TestClient) -> None:
    old = create(client, limits=LIMITS)
    new = client.post(f"/v1/keys/{old['id']}/rotate", json={"grace_seconds": 60}).json()
    assert new["limits"] == LIMITS
    context = tenant_env.authorizer_env.context(bearer(new["key"]))
    assert (context["principal_id"], context["credential_id"]) == (old["id"], new["id"])
    assert "credential_id" not in tenant_env.authorizer_env.context(bearer(old["key"]))


@pytest.mark.parametrize(
    ("limits", "name", "kind"),
    [
        ({"requests_per_minute": -2}, "requests_per_minute", "invalid_limit"),
        ({"requests_per_minute": 1.5}, "requests_per_minute", "invalid_limit"),
        ({"requests_per_minute": True}, "requests_per_minute", "invalid_limit"),
        ({"requests_per_minute": "5"}, "requests_per_minute", "invalid_limit"),
        ({"requests_per_minute": 60_001}, "requests_per_minute", "limit_too_high"),
        ({"requests_per_hour": 1}, "requests_per_hour", "unknown_limit"),
        ({"users": 1}, "users", "unknown_limit"),
        ({"messages_per_session": 1}, "messages_per_session", "unknown_limit"),
        ({"cost_per_month": 5}, "cost_per_month", "invalid_limit"),
        ({"cost_per_month": "1.0000001"}, "cost_per_month", "invalid_limit"),
    ],
)
def test_rejects_invalid_limits(
    tenant_env: TenantEnv, client: TestClient, limits: dict[str, Any], name: str, kind: str
) -> None:
    made = create(client, limits=LIMITS)
    for answer in (
        client.post("/v1/keys", json={"name": "other", "limits": limits}),
        client.patch(f"/v1/keys/{made['id']}", json={"limits": {**limits, "tokens_per_month": 5}}),
    ):
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "VALIDATION_FAILED")
        assert [(each["loc"], each["type"]) for each in problem["errors"]] == [(["body", "limits", name], kind)]
    assert client.get(f"/v1/keys/{made['id']}").json()["limits"] == LIMITS
    assert len(client.get("/v1/keys").json()["data"]) == 2


@pytest.mark.parametrize("limits", [None, [], "5", 5])
def test_rejects_limits_that_are_not_an_object(client: TestClient, limits: Any) -> None:
    answer = client.post("/v1/keys", json={"name": "other", "limits": limits})
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", "limits"])
