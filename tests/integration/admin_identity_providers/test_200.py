"""Successful calls of the identity provider routes: create, list, read, change and delete."""

from typing import Any

from atrium.audit.query import make_query
from atrium.audit.store import AuditStore
from starlette.testclient import TestClient

from tests.integration.admin_keys.conftest import TenantEnv

ISSUER = {"issuer": "https://login.acme.example/", "audience": "https://atrium.example/acme"}
DEFAULTS = {
    "name": "login.acme.example/",
    "jwks_uri": None,
    "algorithms": ["RS256", "ES256"],
    "claim_mapping": {"email": "email", "name": "name", "role": None},
    "role_mapping": {},
    "default_role": "user",
    "provision_users": True,
    "enabled": True,
}
FULL: dict[str, Any] = {
    **ISSUER,
    "name": "Acme's login",
    "jwks_uri": "https://login.acme.example/keys",
    "algorithms": ["PS256", "EdDSA"],
    "claim_mapping": {"email": "upn", "name": "display", "role": "realm.roles"},
    "role_mapping": {"boss": "admin", "guest": "viewer"},
    "default_role": "viewer",
    "provision_users": False,
    "enabled": False,
}


def told(tenant_env: TenantEnv) -> list[dict[str, Any]]:
    store = AuditStore(tenant_env.deployment.runtime.tenant_table(tenant_env.made.tenant.id))
    now = tenant_env.deployment.clock()
    found = store.list_all(make_query(now=now, type="admin.change"), now=now)
    return [dict(event.details) for event in found if str(event.details["action"]).startswith("identity_provider")]


def create(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/identity-providers", json={**ISSUER, **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"].endswith(f"/v1/identity-providers/{made['id']}")
    return made


def test_creates_lists_reads_and_deletes(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client)
    assert made["id"].startswith("idp_")
    assert {name: made[name] for name in DEFAULTS} == DEFAULTS
    tenant_env.deployment.clock.advance(1)
    full = create(client, **{**FULL, "audience": "another"})
    assert {name: full[name] for name in FULL} == {**FULL, "audience": "another"}
    listed = client.get("/v1/identity-providers").json()
    assert listed == {"data": [made, full], "next_cursor": None}
    first = client.get("/v1/identity-providers", params={"limit": 1}).json()
    rest = client.get("/v1/identity-providers", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert [each["id"] for each in rest["data"]] == [full["id"]]
    read = client.get(f"/v1/identity-providers/{made['id']}").json()
    assert read == {**made, "keys": {"count": 0, "fetched_at": None, "tried_at": None, "fault": None}}
    tenant_env.deployment.clock.advance(1)
    answer = client.delete(f"/v1/identity-providers/{made['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(f"/v1/identity-providers/{made['id']}").status_code == 404
    assert [each["action"] for each in reversed(told(tenant_env))] == [
        "identity_provider.create",
        "identity_provider.create",
        "identity_provider.delete",
    ]
    create(client)  # after the deletion, the issuer and audience can be used again


def test_any_part_can_be_changed(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client)
    for name, value in FULL.items():
        if name in {"issuer", "role_mapping"}:
            continue
        tenant_env.deployment.clock.advance(1)
        changed = client.patch(f"/v1/identity-providers/{made['id']}", json={name: value})
        assert changed.status_code == 200, changed.text
        assert changed.json()[name] == value
    assert told(tenant_env)[0]["changed"] == ["enabled"]
    assert client.patch(f"/v1/identity-providers/{made['id']}", json={}).json() == changed.json()


def test_a_changed_issuer_and_audience_are_free_for_others(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client)
    other = tenant_env.deployment.onboard("other")
    theirs = tenant_env.call_as(tenant_id=other.tenant.id)
    assert theirs.post("/v1/identity-providers", json=ISSUER).status_code == 409
    changed = client.patch(f"/v1/identity-providers/{made['id']}", json={"audience": "elsewhere"})
    assert changed.status_code == 200
    create(theirs)
    assert client.patch(f"/v1/identity-providers/{made['id']}", json=ISSUER).status_code == 409
    assert client.get(f"/v1/identity-providers/{made['id']}").json()["audience"] == "elsewhere"


def test_an_audience_may_contain_the_tenants_id(tenant_env: TenantEnv, client: TestClient) -> None:
    audience = f"urn:atrium:{tenant_env.made.tenant.id}"
    assert create(client, audience=audience)["audience"] == audience


def test_replays_the_same_answer(client: TestClient) -> None:
    headers = {"idempotency-key": "k1"}
    first, again = (client.post("/v1/identity-providers", json=ISSUER, headers=headers) for _ in range(2))
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
