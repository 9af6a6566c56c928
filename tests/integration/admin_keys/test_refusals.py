"""Errors of the key routes: missing scopes, other tenants, invalid bodies. A rejected call writes nothing."""

from datetime import timedelta
from typing import Any

import pytest
from atrium.kernel.clock import format_time
from atrium.kernel.ids import mint_key_id
from starlette.testclient import TestClient

from tests.builders.authorizing import bearer
from tests.builders.deployments import counting
from tests.builders.gateway import call_as, platform_fields
from tests.builders.refusals import refusing
from tests.integration.admin_keys.conftest import TenantEnv

UNKNOWN = "key_01k6r5m2x8f3v9q4w7t1y0z5ab"
ROUTES = [
    ("GET", "/v1/keys", None),
    ("POST", "/v1/keys", {"name": "n"}),
    ("GET", f"/v1/keys/{UNKNOWN}", None),
    ("PATCH", f"/v1/keys/{UNKNOWN}", {"name": "n"}),
    ("DELETE", f"/v1/keys/{UNKNOWN}", None),
    ("POST", f"/v1/keys/{UNKNOWN}/rotate", {}),
    ("POST", f"/v1/keys/{UNKNOWN}/revoke", {}),
]
WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"}


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
@pytest.mark.parametrize("scopes", ["chat sessions:read sessions:write", "agents:write agents:read", ""])
def test_requires_admin(tenant_env: TenantEnv, method: str, path: str, body: Any, scopes: str) -> None:
    with counting(tenant_env.deployment.table) as calls:
        answer = tenant_env.call_as(scopes=scopes).request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_REQUIRED")
    assert calls == []


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_requires_a_credential_and_a_tenant(tenant_env: TenantEnv, method: str, path: str, body: Any) -> None:
    answer = call_as(tenant_env.app, None).request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
    answer = call_as(tenant_env.app, platform_fields()).request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "TENANT_REQUIRED")


@pytest.mark.parametrize(("method", "path", "body"), ROUTES[2:])
def test_another_tenants_key_is_not_found(tenant_env: TenantEnv, method: str, path: str, body: Any) -> None:
    other = tenant_env.deployment.onboard("other")
    assert other.key
    answers = []
    for key_id in (other.key.key.id, mint_key_id(tenant_env.deployment.clock()), "nonsense", UNKNOWN.upper()):
        answer = tenant_env.call_as().request(method, path.replace(UNKNOWN, key_id), json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
        answers.append({**answer.json(), "detail": ""})
    assert len({str(answer) for answer in answers}) == 1
    tenant_env.authorizer_env.context(bearer(other.key.text))


def test_lists_nothing_of_another_tenant(tenant_env: TenantEnv, client: TestClient) -> None:
    other = tenant_env.deployment.onboard("other")
    assert other.key
    assert other.key.key.id not in client.get("/v1/keys").text
    theirs = tenant_env.call_as(tenant_id=other.tenant.id)
    cursor = client.get("/v1/keys", params={"limit": 1}).json()["next_cursor"]
    answer = theirs.get("/v1/keys", params={"cursor": cursor or "abc"})
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_CURSOR")


def test_rejects_scopes_that_the_creator_lacks(tenant_env: TenantEnv) -> None:
    client = tenant_env.call_as(scopes="admin")
    made = client.post("/v1/keys", json={"name": "n"}).json()
    with counting(tenant_env.deployment.table) as calls:
        for answer in (
            client.post("/v1/keys", json={"name": "n", "scopes": ["chat", "platform"]}),
            client.patch(f"/v1/keys/{made['id']}", json={"scopes": ["platform"]}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_REQUIRED")
    assert not WRITES & set(calls)


def test_rejects_the_platform_scope(tenant_env: TenantEnv) -> None:
    client = tenant_env.call_as(principal_type="platform", scopes="platform")
    answer = client.post("/v1/keys", json={"name": "n", "scopes": ["platform"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")


BAD: list[dict[str, Any]] = [
    {"name": ""},
    {"name": " "},
    {"name": " n"},
    {"name": "a\nb"},
    {"name": "n" * 101},
    {"name": 7},
    {"name": None},
    {"scopes": []},
    {"scopes": ["everything"]},
    {"scopes": "chat"},
    {"scopes": ["chat"] * 11},
    {"scopes": None},
    {"expires_at": "tomorrow"},
    {"expires_at": "2027-01-01T00:00:00"},
    {"expires_at": 1_900_000_000},
    {"expires_at": "2026-11-21T12:00:00Z"},
    {"expires_at": "1999-01-01T00:00:00Z"},
    {"key": "atr_dev_mine"},
    {"status": "active"},
    {"tenant_id": "ten_01k6r5m2x8f3v9q4w7t1y0z5ab"},
]


@pytest.mark.parametrize("fields", BAD)
def test_rejects_invalid_bodies(tenant_env: TenantEnv, client: TestClient, fields: dict[str, Any]) -> None:
    made = client.post("/v1/keys", json={"name": "n"}).json()
    with counting(tenant_env.deployment.table) as calls:
        for answer in (
            client.post("/v1/keys", json={"name": "n", **fields}),
            client.patch(f"/v1/keys/{made['id']}", json=fields),
        ):
            assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED"), answer.text
            assert answer.json()["errors"][0]["loc"][:2] == ["body", next(iter(fields))]
    assert not WRITES & set(calls)


@pytest.mark.parametrize(
    "body",
    [{"grace_seconds": -1}, {"grace_seconds": 604_801}, {"grace_seconds": 1.5}, {"grace_seconds": "1"}, {"other": 1}],
)
def test_rejects_invalid_grace_periods(tenant_env: TenantEnv, client: TestClient, body: dict[str, Any]) -> None:
    made = client.post("/v1/keys", json={"name": "n"}).json()
    with counting(tenant_env.deployment.table) as calls:
        for action in ("rotate", "revoke"):
            answer = client.post(f"/v1/keys/{made['id']}/{action}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")
    assert calls == []


def test_rejects_rotation_of_an_ended_key(tenant_env: TenantEnv, client: TestClient) -> None:
    soon = format_time(tenant_env.deployment.clock() + timedelta(seconds=10))
    expired = client.post("/v1/keys", json={"name": "n", "expires_at": soon}).json()
    revoked, ending = (client.post("/v1/keys", json={"name": "n"}).json() for _ in range(2))
    client.post(f"/v1/keys/{revoked['id']}/revoke")
    client.post(f"/v1/keys/{ending['id']}/revoke", json={"grace_seconds": 3_600})
    tenant_env.deployment.clock.advance(10)
    before = len(client.get("/v1/keys").json()["data"])
    for each in (expired, revoked, ending):
        answer = client.post(f"/v1/keys/{each['id']}/rotate")
        assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
    assert len(client.get("/v1/keys").json()["data"]) == before


@pytest.mark.parametrize("operation", ["TransactWriteItems", "Query"])
def test_503_if_the_table_is_throttled(tenant_env: TenantEnv, client: TestClient, operation: str) -> None:
    with refusing(tenant_env.deployment.table, operation, "ThrottlingException"):
        answer = client.get("/v1/keys") if operation == "Query" else client.post("/v1/keys", json={"name": "n"})
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
