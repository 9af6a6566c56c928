"""Errors of the operator's routes: status and code. A rejected call writes nothing."""

from typing import Any

import pytest
from atrium.kernel.ids import mint_tenant_id
from starlette.testclient import TestClient

from functions.platform.app import build
from tests.builders.deployments import PASSWORD, Deployment, counting
from tests.builders.gateway import call_as, tenant_fields
from tests.builders.refusals import refusing

BODY = {"name": "acme", "plan": "pro"}
ADMIN = {"email": "admin@acme.example", "password": PASSWORD}
UNKNOWN = "ten_01k6r5m2x8f3v9q4w7t1y0z5ab"
ROUTES = [
    ("GET", "/v1/tenants", None),
    ("POST", "/v1/tenants", BODY),
    ("GET", f"/v1/tenants/{UNKNOWN}", None),
    ("PATCH", f"/v1/tenants/{UNKNOWN}", {"plan": "free"}),
    ("DELETE", f"/v1/tenants/{UNKNOWN}", None),
    ("POST", f"/v1/tenants/{UNKNOWN}/suspend", {}),
    ("POST", f"/v1/tenants/{UNKNOWN}/activate", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_no_tenants_credential_may(deployment: Deployment, method: str, path: str, body: Any) -> None:
    client = call_as(build(lambda: deployment.runtime), tenant_fields(scopes="admin chat agents:write"))
    with counting(deployment.table) as calls:
        answer = client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_REQUIRED")
    assert calls == []


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_requires_a_credential(deployment: Deployment, method: str, path: str, body: Any) -> None:
    answer = call_as(build(lambda: deployment.runtime), None).request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("method", "path", "body"), [route for route in ROUTES if "{" in route[1] or UNKNOWN in route[1]]
)
@pytest.mark.parametrize(
    "name", [UNKNOWN, "nonsense", "ten_", UNKNOWN.upper(), "usr_01k6r5m2x8f3v9q4w7t1y0z5ab", "%23"]
)
def test_an_unknown_tenant(client: TestClient, method: str, path: str, body: Any, name: str) -> None:
    answer = client.request(method, path.replace(UNKNOWN, name), json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def test_a_deleted_tenant_is_unknown(deployment: Deployment, client: TestClient) -> None:
    made = deployment.onboard()
    deployment.tenants.delete(made.tenant.id)
    for method, path, body in ROUTES[2:]:
        answer = client.request(method, path.replace(UNKNOWN, made.tenant.id), json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


BAD_FIELDS: list[dict[str, Any]] = [
    {"name": ""},
    {"name": " acme"},
    {"name": "acme "},
    {"name": "a#b"},
    {"name": "a\nb"},
    {"name": "n" * 101},
    {"name": 7},
    {"name": None},
    {"display_name": "a\nb"},
    {"display_name": "d" * 201},
    {"plan": "gold"},
    {"plan": None},
    {"plan": 1},
    {"settings": []},
    {"settings": {"a": "x" * 16_384}},
    {"settings": {"features": ["beta"]}},
    {"settings": {"features": {"Beta Max": True}}},
    {"settings": {"prompt_injection": "maybe"}},
    {"metadata": "text"},
    {"metadata": {"a": "x" * 16_384}},
    {"status": "deleted"},
    {"id": UNKNOWN},
    {"config_version": 1},
]
BAD_ADMINS: list[Any] = [
    {},
    {"email": "admin@acme.example"},
    {"password": PASSWORD},
    {"email": "no-address", "password": PASSWORD},
    {"email": "a@" + "b" * 254, "password": PASSWORD},
    {"email": "a b@c.example", "password": PASSWORD},
    {"email": "admin@acme.example", "password": "short77"},
    {"email": "admin@acme.example", "password": "p" * 129},
    {"email": "admin@acme.example", "password": "Admin@Acme.example"},
    {"email": "admin@acme.example", "password": 12345678},
    {"email": "admin@acme.example", "password": PASSWORD, "role": "admin"},
    "admin",
]


@pytest.mark.parametrize("fields", [*BAD_FIELDS, *({"admin": admin} for admin in BAD_ADMINS)])
def test_a_new_tenant_that_does_not_fit(deployment: Deployment, client: TestClient, fields: dict[str, Any]) -> None:
    with counting(deployment.table) as calls:
        answer = client.post("/v1/tenants", json={**BODY, **fields})
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED"), answer.text
    assert all(set(error) == {"loc", "msg", "type"} for error in answer.json()["errors"])
    assert not any(str(error).count("p" * 20) for error in answer.json()["errors"])
    assert calls == []


@pytest.mark.parametrize(("name", "value"), [("features", ["beta"]), ("prompt_injection", "maybe")])
def test_names_the_setting_that_is_invalid(client: TestClient, name: str, value: Any) -> None:
    answer = client.post("/v1/tenants", json={**BODY, "settings": {name: value}})
    assert [error["loc"] for error in answer.json()["errors"]] == [["body", "settings", name]]


@pytest.mark.parametrize("missing", ["name", "plan"])
def test_what_a_new_tenant_needs(client: TestClient, missing: str) -> None:
    answer = client.post("/v1/tenants", json={name: BODY[name] for name in BODY if name != missing})
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", missing])


@pytest.mark.parametrize("fields", [*BAD_FIELDS, {"admin": ADMIN}])
def test_a_change_that_does_not_fit(deployment: Deployment, client: TestClient, fields: dict[str, Any]) -> None:
    made = deployment.onboard()
    with counting(deployment.table) as calls:
        answer = client.patch(f"/v1/tenants/{made.tenant.id}", json=fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED"), answer.text
    assert calls == []


@pytest.mark.parametrize("body", [{"reason": "r" * 501}, {"reason": 7}, {"why": "x"}, []])
def test_a_reason_that_does_not_fit(deployment: Deployment, client: TestClient, body: Any) -> None:
    made = deployment.onboard()
    for action in ("suspend", "activate"):
        answer = client.post(f"/v1/tenants/{made.tenant.id}/{action}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")
    assert deployment.tenants.get(made.tenant.id).status == "active"


@pytest.mark.parametrize("name", ["acme", "ACME", "Ａcme"])
def test_a_name_that_is_taken(deployment: Deployment, client: TestClient, name: str) -> None:
    deployment.onboard("acme")
    other = deployment.onboard("other")
    for answer in (
        client.post("/v1/tenants", json={**BODY, "name": name, "admin": ADMIN}),
        client.patch(f"/v1/tenants/{other.tenant.id}", json={"name": name}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
    assert len(client.get("/v1/tenants").json()["data"]) == 2


def test_a_cursor_that_is_not_this_lists(client: TestClient) -> None:
    answer = client.get("/v1/tenants", params={"cursor": "abc"})
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_CURSOR")


def test_a_table_that_is_throttled_is_503_and_the_same_call_completes_it(
    deployment: Deployment, client: TestClient
) -> None:
    body, headers = {**BODY, "admin": ADMIN}, {"idempotency-key": "k1"}
    for operation in ("TransactWriteItems", "UpdateItem"):
        with refusing(deployment.table, operation, "ThrottlingException", about="acme"):
            answer = client.post("/v1/tenants", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"
    assert client.post("/v1/tenants", json=body, headers=headers).status_code == 201


def test_creates_no_tenant_without_a_pepper(deployment: Deployment, client: TestClient) -> None:
    empty = deployment.secrets_client.create_secret(Name="empty")["ARN"]
    runtime = deployment.make_runtime(PEPPER_SECRET_ARN=empty)
    answer = call_as(
        build(lambda: runtime), {**tenant_fields(), "principal_type": "platform", "scopes": "platform"}
    ).post("/v1/tenants", json={**BODY, "admin": ADMIN})
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
    assert "bootstrap" not in answer.text
    assert client.get("/v1/tenants").json()["data"] == []
    assert mint_tenant_id(deployment.clock()) != UNKNOWN
