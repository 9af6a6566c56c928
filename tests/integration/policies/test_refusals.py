"""Errors of the policy routes: status, code and field. A rejected call writes nothing."""

from typing import Any

import pytest

from tests.builders.api_env import ApiEnv, assert_problem
from tests.builders.gateway import OTHER_TENANT_ID, platform_fields, tenant_fields

pytestmark = pytest.mark.loopback

ID = "pol_01k6r5m2x8f3v9q4w7t1y0z5ab"
POLICY = {"name": "p", "effect": "deny", "principals": ["role:user"], "actions": ["*"], "resources": ["tool:*"]}
HOURS = ["body", "conditions", "time", "hours"]
QUESTION = {"principal": "role:user", "action": "execute", "resource": "tool:calculator"}


def routes(policy_id: str) -> list[tuple[str, str, object]]:
    path = f"/v1/policies/{policy_id}"
    return [
        ("GET", "/v1/policies", None),
        ("POST", "/v1/policies", POLICY),
        ("POST", "/v1/policies/evaluate", QUESTION),
        ("GET", path, None),
        ("PATCH", path, {"name": "x"}),
        ("DELETE", path, None),
    ]


def test_every_route_asks_for_a_credential_a_tenant_and_admin(api_env: ApiEnv) -> None:
    before = api_env.tenant_env.items()
    for fields, status, code in (
        (None, 401, "UNAUTHENTICATED"),
        (platform_fields(), 400, "TENANT_REQUIRED"),
        (tenant_fields(scopes="chat sessions:read agents:write usage:read"), 403, "SCOPE_REQUIRED"),
    ):
        client = api_env.admin_as(fields)
        for method, path, body in routes(ID):
            assert_problem(client.request(method, path, json=body), status, code)
    assert api_env.tenant_env.items() == before


def test_404_for_another_tenants_policy_and_for_what_is_none(api_env: ApiEnv) -> None:
    policy_id = api_env.admin_as().post("/v1/policies", json=POLICY).json()["id"]
    before = api_env.tenant_env.items()
    other = api_env.admin_as(tenant_fields(tenant_id=OTHER_TENANT_ID, scopes="admin"))
    for method, path, body in routes(policy_id)[3:]:
        assert_problem(other.request(method, path, json=body), 404, "NOT_FOUND")
    assert other.get("/v1/policies").json()["data"] == []
    assert other.post("/v1/policies/evaluate", json=QUESTION).json()["matched"] == []
    for some_id in (ID, "x", "pol_", policy_id.upper()):
        for method, path, body in routes(some_id)[3:]:
            assert_problem(api_env.admin_as().request(method, path, json=body), 404, "NOT_FOUND")
    assert api_env.tenant_env.items() == before


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({"name": ""}, ["body", "name"]),
        ({"name": "a\nb"}, ["body", "name"]),
        ({"name": 1}, ["body", "name"]),
        ({"effect": "maybe"}, ["body", "effect"]),
        ({"principals": []}, ["body", "principals"]),
        ({"principals": ["group:x"]}, ["body", "principals"]),
        ({"principals": ["user:"]}, ["body", "principals"]),
        ({"principals": "*"}, ["body", "principals"]),
        ({"resources": ["sessions"]}, ["body", "resources"]),
        ({"resources": ["tool:x"] * 51}, ["body", "resources"]),
        ({"actions": [""]}, ["body", "actions", 0]),
        ({"priority": 1_001}, ["body", "priority"]),
        ({"priority": 1.5}, ["body", "priority"]),
        ({"priority": True}, ["body", "priority"]),
        ({"unknown": 1}, ["body", "unknown"]),
        ({"conditions": {"moon": "full"}}, ["body", "conditions", "moon"]),
        ({"conditions": {"time": {}}}, ["body", "conditions", "time"]),
        ({"conditions": {"time": {"after": "yesterday"}}}, ["body", "conditions", "time", "after"]),
        ({"conditions": {"time": {"days": ["someday"]}}}, ["body", "conditions", "time", "days", 0]),
        ({"conditions": {"time": {"hours": {"from": "9", "to": "10:00"}}}}, [*HOURS, "from"]),
        ({"conditions": {"time": {"hours": {"from": "09:00", "to": "09:00"}}}}, HOURS),
        ({"conditions": {"time": {"days": ["mon"], "zone": "Mars/Base"}}}, ["body", "conditions", "time", "zone"]),
        ({"conditions": {"ip": {"any_of": ["10.0.0.1/8"]}}}, ["body", "conditions", "ip", "any_of", 0]),
        ({"conditions": {"ip": {"any_of": []}}}, ["body", "conditions", "ip", "any_of"]),
        ({"conditions": {"ip": {"any_of": None}}}, ["body", "conditions"]),
        ({"conditions": {"amount": {"min": None, "max": None}}}, ["body", "conditions"]),
        ({"conditions": {"time": {"zone": "UTC"}}}, ["body", "conditions"]),
        ({"conditions": {"plan": ["gold"]}}, ["body", "conditions", "plan", 0]),
        ({"conditions": {"amount": {"min": "much"}}}, ["body", "conditions", "amount", "min"]),
        ({"conditions": {"amount": {"max": 1.5}}}, ["body", "conditions", "amount", "max"]),
        ({"conditions": None}, ["body", "conditions"]),
    ],
)  # fmt: skip
def test_422_says_where_in_a_creation_and_in_a_change(
    api_env: ApiEnv, change: dict[str, Any], location: list[str | int]
) -> None:
    client = api_env.admin_as()
    policy = client.post("/v1/policies", json=POLICY).json()
    before = api_env.tenant_env.items()
    for answer in (
        client.post("/v1/policies", json={**POLICY, **change}),
        client.patch(f"/v1/policies/{policy['id']}", json=change),
    ):
        problem = assert_problem(answer, 422, "VALIDATION_FAILED")
        assert [error["loc"] for error in problem["errors"]] == [location]
        assert "^" not in problem["errors"][0]["msg"]
    assert api_env.tenant_env.items() == before


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({"principal": "unknown"}, ["body", "principal"]),
        ({"principal": "user:*"}, ["body", "principal"]),
        ({"resource": "*"}, ["body", "resource"]),
        ({"action": ""}, ["body", "action"]),
        ({"context": {"ip": "here"}}, ["body", "context", "ip"]),
        ({"context": {"time": "now"}}, ["body", "context", "time"]),
        ({"context": {"amount": 1.5}}, ["body", "context", "amount"]),
        ({"context": {"plan": "gold"}}, ["body", "context", "plan"]),
        ({"context": {"weather": "fine"}}, ["body", "context", "weather"]),
    ],
)
def test_422_for_invalid_evaluations(api_env: ApiEnv, change: dict[str, Any], location: list[str]) -> None:
    answer = api_env.admin_as().post("/v1/policies/evaluate", json={**QUESTION, **change})
    assert [error["loc"] for error in assert_problem(answer, 422, "VALIDATION_FAILED")["errors"]] == [location]


def test_an_administrator_cannot_lock_themselves_out(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    deny = {"name": "all", "effect": "deny", "principals": ["*"], "actions": ["*"], "resources": ["*"]}
    made = client.post("/v1/policies", json=deny).json()
    shut = api_env.admin_as(tenant_fields(config_version=api_env.version()))
    assert_problem(shut.get("/v1/agents"), 403, "POLICY_DENIED")
    answer = shut.post("/v1/policies/evaluate", json={"principal": "scope:admin", "resource": "route:GET /v1/policies"})
    assert answer.json()["allowed"] is True
    assert shut.delete(f"/v1/policies/{made['id']}").status_code == 204
    again = api_env.admin_as(tenant_fields(config_version=api_env.version()))
    assert again.get("/v1/agents").status_code == 200


def test_every_change_is_in_the_audit(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    policy = client.post("/v1/policies", json=POLICY).json()
    client.patch(f"/v1/policies/{policy['id']}", json={"priority": 7})
    client.delete(f"/v1/policies/{policy['id']}")
    events = list(reversed(api_env.events("admin.change")))
    told = [(event.details["action"], event.details["resource"], event.details["priority"]) for event in events]
    assert told == [
        ("policy.create", policy["id"], 0),
        ("policy.change", policy["id"], 7),
        ("policy.delete", policy["id"], 7),
    ]
