"""The lifecycle of users: creation, invitation, changes, suspension, logout, password reset and deletion."""

from datetime import timedelta
from typing import Any

import pytest
from atrium.identity.users.passwords import verify_password
from atrium.identity.users.store import UserStore
from atrium.kernel.clock import format_time
from atrium.kernel.ids import UserId
from starlette.testclient import TestClient

from tests.builders.authorizing import bearer
from tests.integration.admin_users.conftest import MEMBERS, PASSWORD, TenantEnv, audited, create, record_of


def stored(tenant_env: TenantEnv, user_id: str) -> Any:
    return UserStore(tenant_env.deployment.runtime.tenant_table(tenant_env.made.tenant.id)).get(UserId(user_id))


def token(tenant_env: TenantEnv, user_id: str) -> dict[str, str]:
    """Return headers with a new access token of the user."""
    return bearer(tenant_env.deployment.make_token(stored(tenant_env, user_id)))


def test_creates_a_user_with_a_password(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client, password=PASSWORD, name="Ann")
    assert set(made) == MEMBERS | {"invite_token", "invite_expires_at"}
    assert (made["status"], made["invite_token"], made["last_login_at"]) == ("active", None, None)
    assert (made["time_zone"], made["language"]) == ("UTC", "en")
    assert made["preferences"] == {"style": "professional", "length": "moderate", "level": "intermediate"}
    assert verify_password(PASSWORD, stored(tenant_env, made["id"]).password_hash)
    context = tenant_env.authorizer_env.context(token(tenant_env, made["id"]))
    assert (context["principal_id"], context["principal_name"], context["role"]) == (made["id"], "Ann", "user")
    shown = client.get(f"/v1/users/{made['id']}")
    assert shown.json() == {name: made[name] for name in MEMBERS}
    assert "argon2" not in shown.text + client.get("/v1/users").text
    assert record_of(tenant_env, "user.create") == {
        "action": "user.create", "resource": made["id"], "role": "user", "status": "active",
    }  # fmt: skip


def test_invites_a_user(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client, role="admin", time_zone="Europe/Berlin", language="de-CH", preferences={"length": "brief"})
    assert made["status"] == "invited"
    assert made["invite_token"].startswith("atr_once_")
    assert made["invite_expires_at"] == format_time(tenant_env.deployment.clock() + timedelta(days=7))
    assert (made["time_zone"], made["language"], made["preferences"]["length"]) == ("Europe/Berlin", "de-CH", "brief")
    for answer in (client.get(f"/v1/users/{made['id']}"), client.get("/v1/users")):
        assert made["invite_token"] not in answer.text
    assert made["invite_token"] not in str(
        tenant_env.deployment.table.client.scan(TableName=tenant_env.deployment.table.name)
    )
    assert tenant_env.authorizer_env.code(token(tenant_env, made["id"])) == "USER_SUSPENDED"


def test_limits_of_a_user(client: TestClient) -> None:
    made = create(client, limits={"requests_per_day": 10, "cost_per_month": "0.5", "tokens_per_minute": None})
    assert made["limits"] == {"requests_per_day": 10, "cost_per_month": "0.500000"}
    changed = client.patch(f"/v1/users/{made['id']}", json={"limits": {"requests_per_minute": 3}}).json()
    assert changed["limits"] == {"requests_per_minute": 3}


def test_a_list_has_all_users_oldest_first(tenant_env: TenantEnv, client: TestClient) -> None:
    tenant_env.deployment.clock.advance(1)
    made = create(client)
    listed = client.get("/v1/users").json()
    assert [user["email"] for user in listed["data"]] == ["admin@acme.example", "ann@acme.example"]
    assert listed["data"][1] == {name: made[name] for name in MEMBERS}
    first = client.get("/v1/users", params={"limit": 1}).json()
    second = client.get("/v1/users", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert [user["id"] for user in second["data"]] == [made["id"]]
    found = client.get("/v1/users", params={"email": "ANN@acme.example"}).json()
    assert ([user["id"] for user in found["data"]], found["next_cursor"]) == ([made["id"]], None)
    assert client.get("/v1/users", params={"email": "unknown@acme.example"}).json()["data"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Ann B."},
        {"name": None},
        {"role": "admin"},
        {"email": "ann@elsewhere.example"},
        {"email": "ANN@acme.example"},
        {"time_zone": "Asia/Shanghai", "language": "zh"},
        {"status": "suspended"},
        {"limits": {"requests_per_day": 5}},
    ],
)
def test_any_part_can_be_changed(tenant_env: TenantEnv, client: TestClient, change: dict[str, Any]) -> None:
    made = create(client, password=PASSWORD, name="Ann")
    tenant_env.deployment.clock.advance(1)
    changed = client.patch(f"/v1/users/{made['id']}", json=change).json()
    kept = MEMBERS - set(change) - {"updated_at"}
    assert {name: changed[name] for name in kept} == {name: made[name] for name in kept}
    assert {name: changed[name] for name in change} == change
    assert changed["updated_at"] > made["updated_at"]
    assert changed.pop("credentials", None) in ({"revoked": [], "remaining": []}, None)
    assert client.get(f"/v1/users/{made['id']}").json() == changed
    assert client.get("/v1/users", params={"email": changed["email"]}).json()["data"] == [changed]
    record = record_of(tenant_env, "user.change")
    assert (record["resource"], record["changed"]) == (made["id"], sorted(change))


def test_preferences_are_merged(client: TestClient) -> None:
    made = create(client, preferences={"style": "casual"})
    changed = client.patch(f"/v1/users/{made['id']}", json={"preferences": {"level": "expert"}}).json()
    assert changed["preferences"] == {"style": "casual", "length": "moderate", "level": "expert"}


def test_an_empty_change_changes_nothing(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client)
    before = audited(tenant_env)
    assert client.patch(f"/v1/users/{made['id']}", json={}).json() == {name: made[name] for name in MEMBERS}
    assert audited(tenant_env) == before


def test_a_changed_email_is_free_again(client: TestClient) -> None:
    made = create(client)
    client.patch(f"/v1/users/{made['id']}", json={"email": "ann@elsewhere.example"})
    assert create(client)["id"] != made["id"]


def test_suspends_and_reactivates_a_user(tenant_env: TenantEnv, client: TestClient) -> None:
    active, invited = create(client, password=PASSWORD), create(client, "bob@acme.example")
    login = token(tenant_env, active["id"])
    for made, status in ((active, "active"), (invited, "invited")):
        path = f"/v1/users/{made['id']}"
        assert client.patch(path, json={"status": "suspended"}).json()["status"] == "suspended"
        assert client.patch(path, json={"status": "suspended"}).json()["status"] == "suspended"
        assert tenant_env.authorizer_env.code(token(tenant_env, made["id"])) == "USER_SUSPENDED"
        assert client.patch(path, json={"status": "active"}).json()["status"] == status
    with pytest.raises(Exception, match="Unauthorized"):
        tenant_env.authorizer_env.ask(login)  # the suspension ended the existing logins
    tenant_env.deployment.clock.advance(60)
    tenant_env.authorizer_env.context(token(tenant_env, active["id"]))


def test_an_administrator_sets_a_password(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client)
    changed = client.patch(f"/v1/users/{made['id']}", json={"password": PASSWORD})
    assert changed.json()["status"] == "active"
    assert verify_password(PASSWORD, stored(tenant_env, made["id"]).password_hash)
    assert stored(tenant_env, made["id"]).one_time_token is None
    login = token(tenant_env, made["id"])
    tenant_env.authorizer_env.context(login)
    client.patch(f"/v1/users/{made['id']}", json={"password": PASSWORD + "!"})
    tenant_env.deployment.clock.advance(31)
    with pytest.raises(Exception, match="Unauthorized"):
        tenant_env.authorizer_env.ask(login)
    assert PASSWORD not in str(audited(tenant_env))


def test_an_administrator_ends_all_logins(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client, password=PASSWORD)
    login = token(tenant_env, made["id"])
    tenant_env.authorizer_env.context(login)
    assert client.post(f"/v1/users/{made['id']}/logout").status_code == 204
    tenant_env.deployment.clock.advance(31)
    with pytest.raises(Exception, match="Unauthorized"):
        tenant_env.authorizer_env.ask(login)
    tenant_env.authorizer_env.context(token(tenant_env, made["id"]))
    assert record_of(tenant_env, "user.logout")["resource"] == made["id"]


def test_an_administrator_resets_a_password(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client, password=PASSWORD)
    login = token(tenant_env, made["id"])
    answer = client.post(f"/v1/users/{made['id']}/reset")
    assert answer.status_code == 200
    reset = answer.json()
    assert set(reset) == MEMBERS | {"reset_token", "reset_expires_at"}
    assert reset["reset_expires_at"] == format_time(tenant_env.deployment.clock() + timedelta(hours=1))
    assert stored(tenant_env, made["id"]).one_time_token.purpose == "reset"
    with pytest.raises(Exception, match="Unauthorized"):
        tenant_env.authorizer_env.ask(login)
    assert record_of(tenant_env, "user.reset")["resource"] == made["id"]
    again = client.post(f"/v1/users/{made['id']}/reset").json()
    assert again["reset_token"] != reset["reset_token"]


def test_resetting_an_invited_user_sends_a_new_invitation(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client)
    tenant_env.deployment.clock.advance(8 * 86_400)
    reset = client.post(f"/v1/users/{made['id']}/reset").json()
    assert reset["reset_expires_at"] == format_time(tenant_env.deployment.clock() + timedelta(days=7))
    assert stored(tenant_env, made["id"]).one_time_token.purpose == "invitation"


@pytest.mark.parametrize("revoke", ["", "?revoke_keys=false", "?revoke_keys=true"])
def test_deletes_a_user_with_or_without_their_keys(tenant_env: TenantEnv, client: TestClient, revoke: str) -> None:
    made = create(client, role="admin", password=PASSWORD)
    theirs = tenant_env.call_as(principal_type="user", principal_id=made["id"], role="admin")
    key = theirs.post("/v1/keys", json={"name": "theirs"}).json()
    mine = client.post("/v1/keys", json={"name": "mine"}).json()
    login = token(tenant_env, made["id"])
    answer = client.delete(f"/v1/users/{made['id']}{revoke}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(f"/v1/users/{made['id']}").status_code == 404
    with pytest.raises(Exception, match="Unauthorized"):
        tenant_env.authorizer_env.ask(login)
    wanted = "revoked" if revoke.endswith("true") else "active"
    assert client.get(f"/v1/keys/{key['id']}").json()["status"] == wanted
    assert client.get(f"/v1/keys/{mine['id']}").json()["status"] == "active"
    revoked = record_of(tenant_env, "user.delete").get("keys_revoked")
    assert revoked == ([key["id"]] if wanted == "revoked" else None)
    create(client)


def test_replays_the_same_token(client: TestClient) -> None:
    headers, body = {"idempotency-key": "k1"}, {"email": "ann@acme.example", "role": "user"}
    first, again = (client.post("/v1/users", json=body, headers=headers) for _ in range(2))
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    path = f"/v1/users/{first.json()['id']}/reset"
    resets = [client.post(path, headers={"idempotency-key": "k2"}).json() for _ in range(2)]
    assert resets[0] == resets[1]
