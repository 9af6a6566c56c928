"""`/v1/model-keys`: keys are set, listed without their value, replaced and deleted."""

import json

import pytest
from atrium.storage import keys

from tests.builders.api_env import ADMIN, ApiEnv, assert_problem
from tests.builders.gateway import OTHER_TENANT_ID
from tests.integration.tools_model_keys.conftest import KEY, OTHER_KEY, put_key

pytestmark = pytest.mark.loopback
PROVIDERS = ("anthropic", "openai", "zhipu")


def tenant_item(api_env: ApiEnv) -> dict[str, object]:
    item = api_env.tenant_env.table().get(keys.tenant())
    assert item is not None
    return dict(item)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_sets_a_key_that_the_provider_accepts(api_env: ApiEnv, provider: str) -> None:
    before = api_env.version()
    made = api_env.tools_as().put(f"/v1/model-keys/{provider}", json={"key": KEY}).json()
    assert made == {
        "provider": provider, "prefix": "sk-plan…abcd", "status": "valid", "last_error": None,
        "checked_at": made["checked_at"], "created_at": made["checked_at"], "updated_at": made["checked_at"],
    }  # fmt: skip
    assert api_env.tools_as().get("/v1/model-keys").json() == {"data": [made]}
    assert (tenant_item(api_env)["model_keys"], api_env.version()) == ({provider}, before + 1)


def test_replaces_and_deletes_a_key(api_env: ApiEnv) -> None:
    client = api_env.tools_as()
    put_key(api_env)
    put_key(api_env, "openai")
    first = client.get("/v1/model-keys").json()["data"][0]
    api_env.tenant_env.clock.advance(60)
    second = client.put("/v1/model-keys/anthropic", json={"key": OTHER_KEY}).json()
    assert (second["prefix"], second["created_at"]) == ("sk-anot…wxyz", first["created_at"])
    assert second["updated_at"] == second["checked_at"] > first["updated_at"]
    assert client.delete("/v1/model-keys/anthropic").status_code == 204
    assert [each["provider"] for each in client.get("/v1/model-keys").json()["data"]] == ["openai"]
    assert tenant_item(api_env)["model_keys"] == {"openai"}
    assert client.delete("/v1/model-keys/openai").status_code == 204
    assert "model_keys" not in tenant_item(api_env)


def test_keys_of_a_tenant_are_not_those_of_another(api_env: ApiEnv) -> None:
    put_key(api_env)
    other = api_env.tools_as({**ADMIN, "tenant_id": OTHER_TENANT_ID})
    assert other.get("/v1/model-keys").json() == {"data": []}
    assert_problem(other.delete("/v1/model-keys/anthropic"), 404, "NOT_FOUND")
    assert other.put("/v1/model-keys/anthropic", json={"key": OTHER_KEY}).status_code == 200
    (kept,) = api_env.tools_as().get("/v1/model-keys").json()["data"]
    assert kept["prefix"] == "sk-plan…abcd"


def test_a_change_is_audited_without_the_key(api_env: ApiEnv) -> None:
    put_key(api_env)
    put_key(api_env, key=OTHER_KEY)
    api_env.tools_as().delete("/v1/model-keys/anthropic")
    events = api_env.events("admin.change")
    assert [event.details["action"] for event in events] == [
        "model_key.delete", "model_key.replace", "model_key.set",
    ]  # fmt: skip
    assert {event.origin.principal for event in events} == {f"key:{ADMIN['principal_id']}"}
    told = json.dumps([dict(event.details) for event in events])
    assert "sk-" not in told
    assert "abcd" not in told


def test_the_stored_key_is_encrypted_for_tenant_and_provider(api_env: ApiEnv) -> None:
    put_key(api_env)
    assert KEY not in str(api_env.tenant_env.items())
