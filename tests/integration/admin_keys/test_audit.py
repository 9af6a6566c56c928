"""Changes of API keys are audited in the same transaction. The audit never contains the text of a key."""

import json

from starlette.testclient import TestClient

from tests.builders.api_env import assert_problem
from tests.builders.refusals import refusing
from tests.integration.admin_keys.conftest import TenantEnv


def test_audits_every_change_without_the_secret(client: TestClient) -> None:
    made = client.post("/v1/keys", json={"name": "k", "scopes": ["chat"]}).json()
    path = f"/v1/keys/{made['id']}"
    client.patch(path, json={"scopes": ["sessions:read"]})
    new = client.post(f"{path}/rotate", json={"grace_seconds": 60}).json()
    client.post(f"/v1/keys/{new['id']}/revoke")
    client.post(f"/v1/keys/{new['id']}/revoke")  # the key has already ended, so this call changes nothing
    client.delete(f"/v1/keys/{new['id']}")
    events = client.get("/v1/audit?type=admin.change").json()["data"]
    events = [event for event in events if event["details"]["resource"] in (made["id"], new["id"])]
    assert sorted(event["details"]["action"] for event in events) == [
        "key.change", "key.create", "key.delete", "key.revoke", "key.rotate",
    ]  # fmt: skip
    text = json.dumps(events)
    assert made["key"] not in text
    assert new["key"] not in text
    assert made["prefix"] not in text


def test_makes_no_change_that_cannot_be_audited(tenant_env: TenantEnv, client: TestClient) -> None:
    before = client.get("/v1/keys").json()
    with refusing(tenant_env.deployment.table, "TransactWriteItems", "InternalServerError", about="key.create"):
        assert_problem(client.post("/v1/keys", json={"name": "k"}), 503, "UNAVAILABLE")
    assert client.get("/v1/keys").json() == before
