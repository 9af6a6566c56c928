"""The lifecycle of API keys: creation, use, changes, rotation, revocation and deletion."""

from datetime import timedelta
from typing import Any

import pytest
from atrium.kernel.clock import format_time
from starlette.testclient import TestClient

from tests.builders.authorizing import bearer
from tests.integration.admin_keys.conftest import TenantEnv

MEMBERS = {
    *("id", "name", "scopes", "prefix", "status", "expires_at", "revoked_at", "last_used_at", "created_by"),
    *("limits", "created_at", "updated_at"),
}


def create(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/keys", json={"name": "a key", **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"].endswith(f"/v1/keys/{made['id']}")
    return made


def test_a_new_key_works_and_is_shown_once(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client)
    assert set(made) == MEMBERS | {"key"}
    assert made["key"].startswith(made["prefix"])
    assert made["scopes"] == ["chat", "sessions:read", "sessions:write"]
    assert (made["status"], made["expires_at"], made["revoked_at"], made["last_used_at"]) == (
        "active",
        None,
        None,
        None,
    )
    assert tenant_env.made.key
    assert made["created_by"] == tenant_env.made.key.key.id
    context = tenant_env.authorizer_env.context(bearer(made["key"]))
    assert (context["principal_id"], context["scopes"]) == (made["id"], "chat sessions:read sessions:write")
    for answer in (client.get(f"/v1/keys/{made['id']}"), client.get("/v1/keys")):
        assert made["key"] not in answer.text
        assert "digest" not in answer.text


def test_a_list_has_all_keys_oldest_first(tenant_env: TenantEnv, client: TestClient) -> None:
    tenant_env.deployment.clock.advance(1)
    made = create(client)
    listed = client.get("/v1/keys").json()
    assert [key["name"] for key in listed["data"]] == ["first key", "a key"]
    assert listed["data"][1] == {name: made[name] for name in MEMBERS}
    first = client.get("/v1/keys", params={"limit": 1}).json()
    second = client.get("/v1/keys", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert [key["id"] for key in second["data"]] == [made["id"]]


@pytest.mark.parametrize("scopes", [["chat"], ["admin"], ["agents:read", "usage:read", "usage:read"]])
def test_accepts_scopes_that_the_creator_has(tenant_env: TenantEnv, client: TestClient, scopes: list[str]) -> None:
    made = create(client, scopes=scopes)
    assert set(made["scopes"]) == set(scopes)
    assert len(made["scopes"]) == len(set(scopes))
    assert set(tenant_env.authorizer_env.context(bearer(made["key"]))["scopes"].split()) == set(scopes)


def test_a_platform_credential_may_create_keys(tenant_env: TenantEnv) -> None:
    client = tenant_env.call_as(principal_type="platform", principal_id="key_platform", scopes="platform")
    made = create(client, scopes=["admin", "chat"])
    assert made["created_by"] == "key_platform"
    assert tenant_env.authorizer_env.context(bearer(made["key"]))["tenant_id"] == tenant_env.made.tenant.id


def test_a_key_expires(tenant_env: TenantEnv, client: TestClient) -> None:
    at = tenant_env.deployment.clock() + timedelta(hours=1)
    made = create(client, expires_at=at.astimezone().isoformat())
    assert made["expires_at"] == format_time(at)
    tenant_env.authorizer_env.context(bearer(made["key"]))
    tenant_env.deployment.clock.advance(3_600)
    assert client.get(f"/v1/keys/{made['id']}").json()["status"] == "expired"


def test_the_last_use_is_shown(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client)
    tenant_env.authorizer_env.context(bearer(made["key"]))
    shown = client.get(f"/v1/keys/{made['id']}").json()
    assert shown["last_used_at"] == format_time(tenant_env.deployment.clock())
    assert shown["updated_at"] == made["updated_at"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"scopes": ["admin"]},
        {"expires_at": "2027-01-01T00:00:00.000Z"},
        {"name": "n", "scopes": ["chat"], "expires_at": None},
    ],
)
def test_any_part_can_be_changed(tenant_env: TenantEnv, client: TestClient, change: dict[str, Any]) -> None:
    made = create(client, expires_at="2026-12-24T00:00:00.000Z")
    tenant_env.deployment.clock.advance(1)
    changed = client.patch(f"/v1/keys/{made['id']}", json=change).json()
    kept = MEMBERS - set(change) - {"updated_at"}
    assert {name: changed[name] for name in kept} == {name: made[name] for name in kept}
    assert {name: changed[name] for name in change} == change
    assert client.get(f"/v1/keys/{made['id']}").json() == changed
    tenant_env.authorizer_env.context(bearer(made["key"]))


def test_an_empty_change_changes_nothing(client: TestClient) -> None:
    made = create(client)
    assert client.patch(f"/v1/keys/{made['id']}", json={}).json() == {name: made[name] for name in MEMBERS}


def test_rotation_with_a_grace_period(tenant_env: TenantEnv, client: TestClient) -> None:
    old = create(client, scopes=["chat", "usage:read"], expires_at="2027-01-01T00:00:00.000Z")
    answer = client.post(f"/v1/keys/{old['id']}/rotate", json={"grace_seconds": 60})
    assert answer.status_code == 201
    new = answer.json()
    assert set(new) == MEMBERS | {"key"}
    assert answer.headers["location"].endswith(new["id"])
    assert new["id"] != old["id"]
    assert new["key"] != old["key"]
    assert {name: new[name] for name in ("name", "scopes", "expires_at")} == {
        name: old[name] for name in ("name", "scopes", "expires_at")
    }
    ending = client.get(f"/v1/keys/{old['id']}").json()
    assert (ending["status"], ending["revoked_at"]) == (
        "active",
        format_time(tenant_env.deployment.clock() + timedelta(seconds=60)),
    )
    for each in (old, new):
        context = tenant_env.authorizer_env.context(bearer(each["key"]))
        assert context["principal_id"] == old["id"]  # the new key owns the resources that the old key created
    tenant_env.deployment.clock.advance(60)
    tenant_env.authorizer_env.context(bearer(new["key"]))
    assert client.get(f"/v1/keys/{old['id']}").json()["status"] == "revoked"


@pytest.mark.parametrize("body", [None, {}, {"grace_seconds": 0}])
def test_rotation_and_revocation_without_a_grace_period(
    tenant_env: TenantEnv, client: TestClient, body: dict[str, int] | None
) -> None:
    old = create(client)
    assert client.post(f"/v1/keys/{old['id']}/rotate", json=body).status_code == 201
    assert client.get(f"/v1/keys/{old['id']}").json()["status"] == "revoked"
    other = create(client)
    answer = client.post(f"/v1/keys/{other['id']}/revoke", json=body)
    assert (answer.status_code, answer.json()["status"]) == (200, "revoked")
    assert answer.json()["revoked_at"] == format_time(tenant_env.deployment.clock())


def test_revocation_is_idempotent_and_never_delayed(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client)
    ends = []
    for grace in (60, 3_600, 10, 0, 60):
        ends.append(client.post(f"/v1/keys/{made['id']}/revoke", json={"grace_seconds": grace}).json()["revoked_at"])
    now = tenant_env.deployment.clock()
    assert ends == [format_time(now + timedelta(seconds=at)) for at in (60, 60, 10, 0, 0)]


def test_deletes_a_key(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client)
    answer = client.delete(f"/v1/keys/{made['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert [key["name"] for key in client.get("/v1/keys").json()["data"]] == ["first key"]


def test_replays_the_same_key(client: TestClient) -> None:
    headers = {"idempotency-key": "k1"}
    first = client.post("/v1/keys", json={"name": "a key"}, headers=headers)
    again = client.post("/v1/keys", json={"name": "a key"}, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    old = first.json()["id"]
    rotated = [client.post(f"/v1/keys/{old}/rotate", headers={"idempotency-key": "k2"}).json() for _ in range(2)]
    assert rotated[0] == rotated[1]
    assert len(client.get("/v1/keys").json()["data"]) == 3
