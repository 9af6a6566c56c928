"""`/v1/routing-rules`: rejected requests. A rejected call writes nothing."""

from typing import Any

import pytest
from atrium.routing.model import RULES_MAX

from tests.builders.api_env import ApiEnv, assert_problem
from tests.builders.gateway import OTHER_TENANT_ID, platform_fields, tenant_fields
from tests.integration.routing_rules.test_200 import RULE, create

pytestmark = pytest.mark.loopback
ID = "rul_01k6r5m2x8f3v9q4w7t1y0z5ab"
HAIKU = {"model": "claude-haiku-5-5"}


def routes(rule_id: str) -> list[tuple[str, str, object]]:
    path = f"/v1/routing-rules/{rule_id}"
    return [
        ("GET", "/v1/routing-rules", None),
        ("POST", "/v1/routing-rules", RULE),
        ("GET", path, None),
        ("PATCH", path, {"priority": 1}),
        ("DELETE", path, None),
    ]


def test_every_route_requires_a_credential_a_tenant_and_admin(api_env: ApiEnv) -> None:
    before = api_env.tenant_env.items()
    for fields, status, code in (
        (None, 401, "UNAUTHENTICATED"),
        (platform_fields(), 400, "TENANT_REQUIRED"),
        (tenant_fields(scopes="chat sessions:read agents:read agents:write"), 403, "SCOPE_REQUIRED"),
    ):
        for method, path, body in routes(ID):
            assert_problem(api_env.tools_as(fields).request(method, path, json=body), status, code)
    assert api_env.tenant_env.items() == before


def test_404_for_another_tenants_rule_and_an_unknown_id(api_env: ApiEnv) -> None:
    made = create(api_env)
    other = api_env.tools_as(tenant_fields(tenant_id=OTHER_TENANT_ID, scopes="admin"))
    for client, rule_id in ((other, made["id"]), (api_env.tools_as(), ID), (api_env.tools_as(), "x")):
        for method, path, body in routes(rule_id)[2:]:
            assert_problem(client.request(method, path, json=body), 404, "NOT_FOUND")
    assert other.get("/v1/routing-rules").json()["data"] == []


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({"name": ""}, ["body", "name"]),
        ({"name": "a#b"}, ["body", "name"]),
        ({"name": "builtin:large"}, ["body", "name"]),
        ({"priority": 1_001}, ["body", "priority"]),
        ({"priority": "1"}, ["body", "priority"]),
        ({"status": "off"}, ["body", "status"]),
        ({"when": {"complexity": "hard"}}, ["body", "when", "complexity"]),
        ({"when": {"weekdays": []}}, ["body", "when", "weekdays"]),
        ({"when": {"hours": {"from": "9:00", "to": "10:00"}}}, ["body", "when", "hours", "from"]),
        (
            {"when": {"hours": {"from": "09:00", "to": "10:00", "time_zone": "x"}}},
            ["body", "when", "hours", "time_zone"],
        ),
        ({"when": {"prompt_tokens_min": 2, "prompt_tokens_max": 1}}, ["body", "when"]),
        ({"when": {"language": "en"}}, ["body", "when", "language"]),
        ({"models": []}, ["body", "models"]),
        ({"models": [HAIKU] * 9}, ["body", "models"]),
        ({"models": [HAIKU, HAIKU]}, ["body", "models[1].model"]),
        ({"models": [{"model": "gpt-4"}]}, ["body", "models[0].model"]),
        ({"models": [{"model": "auto"}]}, ["body", "models[0].model"]),
        ({"models": [{**HAIKU, "weight": 0}]}, ["body", "models", 0, "weight"]),
        ({"models": [{**HAIKU, "weight": 1.5}]}, ["body", "models", 0, "weight"]),
    ],
)
def test_422_names_the_field_in_create_and_change(api_env: ApiEnv, change: Any, location: list[Any]) -> None:
    made, client = create(api_env, name="other"), api_env.tools_as()
    before = api_env.tenant_env.items()
    for answer in (
        client.post("/v1/routing-rules", json={**RULE, **change}),
        client.patch(f"/v1/routing-rules/{made['id']}", json=change),
    ):
        problem = assert_problem(answer, 422, "VALIDATION_FAILED")
        assert problem["errors"][0]["loc"] == location
    assert api_env.tenant_env.items() == before


def test_409_for_a_name_in_use(api_env: ApiEnv) -> None:
    create(api_env)
    other = create(api_env, name="other")
    client = api_env.tools_as()
    assert_problem(client.post("/v1/routing-rules", json=RULE), 409, "CONFLICT")
    answer = client.patch(f"/v1/routing-rules/{other['id']}", json={"name": RULE["name"]})
    assert_problem(answer, 409, "CONFLICT")


def test_403_at_the_maximum_number_of_rules(api_env: ApiEnv) -> None:
    for number in range(RULES_MAX):
        create(api_env, name=f"rule {number}")
    problem = assert_problem(api_env.tools_as().post("/v1/routing-rules", json=RULE), 403, "QUOTA_EXCEEDED")
    assert (problem["limit"], problem["used"], problem["max"]) == ("routing_rules", RULES_MAX, RULES_MAX)
