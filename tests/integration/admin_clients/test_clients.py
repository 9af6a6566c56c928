"""`/v1/clients`: a tenant's OAuth clients, their secrets, and errors."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from functions.admin.app import build
from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.builders.deployments import Deployment, counting
from tests.builders.gateway import call_as, tenant_fields
from tests.builders.logins import Logins, audited, open_logins
from tests.builders.oauth import CALLBACK, Browser, make_client

BODY: dict[str, Any] = {
    "name": "a program",
    "type": "confidential",
    "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
    "redirect_uris": [CALLBACK],
    "scopes": ["chat"],
}


@pytest.fixture
def logins(deployment: Deployment) -> Logins:
    return open_logins(deployment)


def admin_of(logins: Logins, **fields: str) -> TestClient:
    wanted = {"tenant_id": logins.made.tenant.id, "scopes": "admin", **fields}
    return call_as(build(lambda: logins.deployment.runtime), tenant_fields(**wanted))


def create(client: TestClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/v1/clients", json=BODY | changes)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"].endswith(f"/v1/clients/{found['client_id']}")
    return found


def test_a_secret_is_shown_once(logins: Logins) -> None:
    client = admin_of(logins)
    made = create(client)
    assert made["id"] == made["client_id"]
    assert made["client_secret"].startswith("atr_cs_")
    path = f"/v1/clients/{made['client_id']}"
    for answer in (client.get(path), client.get("/v1/clients"), client.patch(path, json={"name": "other"})):
        assert answer.status_code == 200
        assert made["client_secret"] not in answer.text
        assert "client_secret" not in answer.text
    assert client.get("/v1/clients").json()["data"][0]["name"] == "other"
    table = logins.deployment.table
    assert made["client_secret"] not in repr(table.client.scan(TableName=table.name)["Items"])


def test_a_public_client_has_no_secret(logins: Logins) -> None:
    made = create(admin_of(logins), type="public", grant_types=["authorization_code"])
    assert made["client_secret"] is None


def test_deletion_and_rotation(logins: Logins) -> None:
    client = admin_of(logins)
    made = create(client)
    path = f"/v1/clients/{made['client_id']}"
    rotated = client.post(f"/v1/clients/{made['client_id']}/rotate", json={"grace_seconds": 60})
    assert rotated.status_code == 201
    old, new = made["client_secret"], rotated.json()["client_secret"]
    assert old != new
    oauth = logins.client()
    oauth.headers.pop("authorization")

    def works(secret: str) -> bool:
        form = {"grant_type": "client_credentials", "client_id": made["client_id"], "client_secret": secret}
        return oauth.post("/oauth/token", data=form).status_code == 200

    assert (works(old), works(new)) == (True, True)
    logins.deployment.clock.advance(60)
    assert (works(old), works(new)) == (False, True)
    assert client.delete(path).status_code == 204
    assert works(new) is False
    assert [client.get(path).status_code, client.delete(path).status_code] == [404, 404]
    actions = [event.details["action"] for event in audited(logins.deployment, logins.made.tenant.id, "admin.change")]
    assert sorted(map(str, actions)) == ["create", "delete", "rotate"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"redirect_uris": ["http://client.example/cb"]}, "redirect_uris"),
        ({"redirect_uris": ["https://client.example/cb#part"]}, "redirect_uris"),
        ({"redirect_uris": ["/callback"]}, "redirect_uris"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "redirect_uris"),
        ({"redirect_uris": ["data:text/html,x"]}, "redirect_uris"),
        ({"redirect_uris": ["https://user:pw@client.example/"]}, "redirect_uris"),
        ({"redirect_uris": ["https://client.example/ x"]}, "redirect_uris"),
        ({"redirect_uris": ["https://a;script-src *"]}, "redirect_uris"),
        ({"redirect_uris": ["https://*.example/cb"]}, "redirect_uris"),
        ({"redirect_uris": []}, "redirect_uris"),
        ({"type": "public"}, "grant_types"),
        ({"grant_types": ["refresh_token"]}, "grant_types"),
        ({"scopes": ["platform"]}, "scopes"),
    ],
)
def test_rejects_invalid_fields(logins: Logins, changes: dict[str, Any], field: str) -> None:
    answer = admin_of(logins).post("/v1/clients", json=BODY | changes)
    assert answer.status_code in {422, 403}, answer.text
    if answer.status_code == 422:
        assert answer.json()["errors"][0]["loc"] == ["body", field]


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:9000/cb",
        "http://localhost/cb",
        "http://[::1]:9000/cb",
        "https://client.example:8443/cb?a=b",
        "com.example.app:/oauth",
    ],
)
def test_accepts_redirect_uris(logins: Logins, uri: str) -> None:
    assert create(admin_of(logins), redirect_uris=[uri])["redirect_uris"] == [uri]


def test_rejects_scopes_that_the_creator_lacks(logins: Logins) -> None:
    narrow = admin_of(logins, scopes="chat")
    answer = narrow.post("/v1/clients", json=BODY)
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_REQUIRED")


def test_another_tenants_client_is_not_found(deployment: Deployment, logins: Logins) -> None:
    made = create(admin_of(logins))
    outsider = admin_of(open_logins(deployment, "other"))
    path = f"/v1/clients/{made['client_id']}"
    for answer in (
        outsider.get(path),
        outsider.patch(path, json={"name": "mine"}),
        outsider.delete(path),
        outsider.post(f"{path}/rotate"),
        outsider.get("/v1/clients/cli_01k6r5m2x8f3v9q4w7t1y0z5ab"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert outsider.get("/v1/clients").json()["data"] == []
    assert admin_of(logins).get(path).json()["name"] == "a program"


def test_removed_scopes_apply_to_issued_tokens(logins: Logins) -> None:

    issued = make_client(logins)
    token = Browser(logins, issued).token(grant_type="client_credentials").json()["access_token"]
    answer = admin_of(logins).patch(f"/v1/clients/{issued.client.id}", json={"scopes": ["chat"]})
    assert answer.status_code == 200
    assert AuthorizerEnv(logins.deployment).context(bearer(token))["scopes"] == "chat"


def test_a_repeated_creation_creates_one(logins: Logins) -> None:
    client = admin_of(logins)
    answers = [client.post("/v1/clients", json=BODY, headers={"Idempotency-Key": "k"}).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(client.get("/v1/clients").json()["data"]) == 1


def test_another_tenants_client_costs_no_read(deployment: Deployment, logins: Logins) -> None:
    theirs = create(admin_of(open_logins(deployment, "other")))
    client, path = admin_of(logins), f"/v1/clients/{theirs['client_id']}"
    client.get("/v1/clients")
    with counting(deployment.table) as calls:
        assert client.get(path).status_code == 404
    assert "GetItem" not in calls
