"""Exact names in a policy must exist. A pattern without a match causes a warning."""

from itertools import batched
from typing import Any

import pytest
from starlette.testclient import TestClient

from functions.admin.app import build
from functions.admin.policies import _guarded_routes
from tests.builders.deployments import Deployment
from tests.builders.gateway import OTHER_TENANT_ID, call_as, tenant_fields
from tests.builders.logins import Logins, open_logins
from tests.builders.oauth import make_client

BODY: dict[str, Any] = {
    "name": "p", "effect": "deny", "principals": ["*"], "actions": ["*"], "resources": ["tool:*"]
}  # fmt: skip
ABSENT: dict[str, list[str]] = {
    "principals": [
        "user:ann", "user:usr_01k6r5m2x8f3v9q4w7t1y0z5aa", "key:key_01k6r5m2x8f3v9q4w7t1y0z5aa", "client:cli_1",
        "role:owner", "scope:platform", "scope:sessions", f"tenant:{OTHER_TENANT_ID}",
    ],
    "resources": [
        "route:GET /v1/session", "route:get /v1/sessions", "route:GET /v1/sessions/ses_1", "route:GET /v1/health",
        "tool:calculater", "model:claude-haiku", "model:",
    ],
}  # fmt: skip
UNMATCHED: dict[str, list[str]] = {
    "principals": ["user:ann*", "key:usr_*", "client:x*", "role:own*", "scope:*:delete", "tenant:ten_9*"],
    "resources": ["route:GET /v2/*", "route:FETCH *", "tool:transfer_*", "model:acme-*"],
}


@pytest.fixture
def logins(deployment: Deployment) -> Logins:
    return open_logins(deployment)


@pytest.fixture
def client(logins: Logins) -> TestClient:
    fields = tenant_fields(tenant_id=logins.made.tenant.id, scopes="admin")
    return call_as(build(lambda: logins.deployment.runtime), fields)


@pytest.mark.parametrize(("field", "name"), [(field, name) for field, names in ABSENT.items() for name in names])
def test_a_name_that_does_not_exist_is_refused(client: TestClient, field: str, name: str) -> None:
    made = client.post("/v1/policies", json=BODY).json()
    for method, path in (("POST", "/v1/policies"), ("PATCH", f"/v1/policies/{made['id']}")):
        body = {**BODY, field: [*BODY[field], name]} if method == "POST" else {field: [name]}
        answer = client.request(method, path, json=body)
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", field])
    assert [policy["resources"] for policy in client.get("/v1/policies").json()["data"]] == [["tool:*"]]


def test_the_refusal_lists_what_is_valid(client: TestClient) -> None:
    for name, valid in (("tool:calculater", "calculator"), ("model:claude", "claude-haiku-5-5")):
        detail = client.post("/v1/policies", json={**BODY, "resources": [name]}).json()["errors"][0]["msg"]
        assert f"`{name}` does not exist" in detail
        assert valid in detail


@pytest.mark.parametrize(("field", "name"), [(field, name) for field, names in UNMATCHED.items() for name in names])
def test_a_pattern_that_matches_nothing_is_a_warning(client: TestClient, field: str, name: str) -> None:
    made = client.post("/v1/policies", json={**BODY, field: [*BODY[field], name]})
    assert made.status_code == 201, made.text
    assert made.json()["warnings"] == [f"`{name}` in `{field}` does not match any existing name"]
    changed = client.patch(f"/v1/policies/{made.json()['id']}", json={"name": "another"})
    assert (changed.status_code, changed.json()["warnings"]) == (200, [])


def test_every_name_that_exists_is_accepted(client: TestClient, logins: Logins) -> None:
    assert logins.made.key
    principals = [
        f"user:{logins.admin.id}", f"key:{logins.made.key.key.id}", f"client:{make_client(logins).client.id}",
        f"tenant:{logins.made.tenant.id}", "role:viewer", "scope:chat", "*", "user:*", "user:usr_*", "key:key_*",
    ]  # fmt: skip
    tools = ["tool:calculator", "tool:calc*", "model:claude-opus-5-5", "model:claude-*", "method:anything", "*"]
    routes = [f"route:{route}" for route in _guarded_routes()]
    for resources in (tools, *map(list, batched(routes, 50, strict=False))):
        made = client.post("/v1/policies", json={**BODY, "principals": principals, "resources": resources})
        assert (made.status_code, made.json().get("warnings")) == (201, []), made.text


def test_a_policy_outlives_what_it_names(client: TestClient, logins: Logins) -> None:
    key = client.post("/v1/keys", json={"name": "k"}).json()
    made = client.post("/v1/policies", json={**BODY, "principals": [f"key:{key['id']}"]}).json()
    assert client.delete(f"/v1/keys/{key['id']}").status_code == 204
    path = f"/v1/policies/{made['id']}"
    assert client.patch(path, json={"effect": "allow"}).status_code == 200
    assert client.patch(path, json={"principals": made["principals"]}).status_code == 200
    assert client.patch(path, json={"principals": [*made["principals"], "key:key_1"]}).status_code == 422
