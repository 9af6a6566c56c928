"""Errors of the agent routes: status and code. A rejected call writes nothing."""

from typing import Any

import pytest

from tests.builders.api_env import ADMIN, ApiEnv, assert_problem
from tests.builders.gateway import OTHER_TENANT_ID, platform_fields, tenant_fields

pytestmark = pytest.mark.loopback

AGENT = "agt_01k6r5m2x8f3v9q4w7t1y0z5ab"
POET = {"name": "poet", "model": "claude-haiku-5-5"}


def routes(agent_id: str) -> list[tuple[str, str, object]]:
    path = f"/v1/agents/{agent_id}"
    return [
        ("GET", "/v1/agents", None),
        ("POST", "/v1/agents", POET),
        ("GET", path, None),
        ("PATCH", path, {"name": "x"}),
        ("DELETE", path, None),
    ]


def test_every_route_requires_credential_tenant_and_scope(api_env: ApiEnv) -> None:
    before = api_env.tenant_env.items()
    for fields, status, code in (
        (None, 401, "UNAUTHENTICATED"),
        (platform_fields(), 400, "TENANT_REQUIRED"),
        (tenant_fields(scopes="chat sessions:read sessions:write"), 403, "SCOPE_REQUIRED"),
    ):
        client = api_env.admin_as(fields)
        for method, path, body in routes(AGENT):
            assert_problem(client.request(method, path, json=body), status, code)
    assert api_env.tenant_env.items() == before


def test_404_for_another_tenants_agent_on_every_route(api_env: ApiEnv) -> None:
    agent_id = api_env.admin_as().post("/v1/agents", json=POET).json()["id"]
    before = api_env.tenant_env.items()
    other = api_env.admin_as(tenant_fields(tenant_id=OTHER_TENANT_ID, scopes="admin"))
    for method, path, body in routes(agent_id)[2:]:
        assert_problem(other.request(method, path, json=body), 404, "NOT_FOUND")
    assert [agent["name"] for agent in other.get("/v1/agents").json()["data"]] == ["assistant"]
    assert api_env.tenant_env.items() == before


def test_404_for_unknown_agents(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    for agent_id in (AGENT, "x", "agt_", AGENT.upper(), "ses_" + AGENT[4:]):
        for method, path, body in routes(agent_id)[2:]:
            assert_problem(client.request(method, path, json=body), 404, "NOT_FOUND")


def test_409_for_a_taken_name_and_for_deleting_the_default(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    (default,) = client.get("/v1/agents").json()["data"]
    agent = client.post("/v1/agents", json=POET).json()
    assert_problem(client.post("/v1/agents", json=POET), 409, "CONFLICT")
    assert_problem(client.patch(f"/v1/agents/{agent['id']}", json={"name": "assistant"}), 409, "CONFLICT")
    assert_problem(client.delete(f"/v1/agents/{default['id']}"), 409, "CONFLICT")
    assert client.get(f"/v1/agents/{agent['id']}").json() == agent


def test_403_for_a_model_or_number_outside_the_plan(api_env: ApiEnv) -> None:
    api_env.tenant_env.configure(plan="free")
    free = api_env.admin_as({**ADMIN, "plan": "free"})
    assert_problem(free.post("/v1/agents", json={**POET, "model": "claude-opus-5-5"}), 403, "MODEL_NOT_ALLOWED")
    for number in range(9):
        assert free.post("/v1/agents", json={**POET, "name": f"n{number}"}).status_code == 201
    problem = assert_problem(free.post("/v1/agents", json=POET), 403, "QUOTA_EXCEEDED")
    assert (problem["limit"], problem["used"], problem["max"], problem["resets_at"]) == ("agents", 10, 10, None)
    assert problem["retryable"] is False


UNFIT: list[dict[str, Any]] = [
    {"name": ""},
    {"name": "x" * 101},
    {"name": "a#b"},
    {"name": " a"},
    {"name": "a\nb"},
    {"name": None},
    {"model": ""},
    {"model": "gpt-4"},
    {"description": "x" * 1_001},
    {"system_prompt": "x" * 50_001},
    {"tools": ["teleport"]},
    {"tools": ["x"] * 101},
    {"tools": "calculator"},
    {"max_tokens": 0},
    {"max_tokens": 128_001},
    {"max_tokens": 1.0},
    {"max_tokens": True},
    {"temperature": 0.5},
    {"temperature": 3},
    {"max_iterations": 0},
    {"max_iterations": 101},
    {"require_done_tool": "yes"},
    {"compaction_profile": "poetry"},
    {"max_history_messages": 9},
    {"max_history_messages": 101},
    {"max_history_tokens": 999},
    {"max_history_tokens": 1_000_001},
    {"is_default": "true"},
    {"limits": {"x": 1}},
    {"created_at": "2026-11-21T00:00:00Z"},
]


def test_422_for_invalid_fields(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    agent = client.post("/v1/agents", json=POET).json()
    before = api_env.tenant_env.items()
    for change in UNFIT:
        created = client.post("/v1/agents", json={**POET, "name": "other", **change})
        assert_problem(created, 422, "VALIDATION_FAILED")
        patched = client.patch(f"/v1/agents/{agent['id']}", json=change)
        assert_problem(patched, 422, "VALIDATION_FAILED")
    for missing in ({"name": "x"}, {"model": "claude-haiku-5-5"}, {}):
        assert_problem(client.post("/v1/agents", json=missing), 422, "VALIDATION_FAILED")
    assert_problem(client.post("/v1/agents", json={**POET, "provider": "openai"}), 422, "PROVIDER_UNSUPPORTED")
    assert api_env.tenant_env.items() == before


def test_422_for_clearing_the_default(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    (default,) = client.get("/v1/agents").json()["data"]
    response = client.patch(f"/v1/agents/{default['id']}", json={"is_default": False})
    assert_problem(response, 422, "VALIDATION_FAILED")


@pytest.mark.parametrize(
    ("fields", "location"),
    [
        ({"prompt": {"name": "base"}, "system_prompt": "x"}, ["body", "prompt"]),
        ({"prompt": {}}, ["body", "prompt"]),
        ({"prompt": {"name": "base", "id": "prm_01k6r5m2x8f3v9q4w7t1y0z5ab"}}, ["body", "prompt"]),
        ({"prompt": {"name": "unknown"}}, ["body", "prompt"]),
        ({"prompt": {"id": "prm_01k6r5m2x8f3v9q4w7t1y0z5ab"}}, ["body", "prompt"]),
        ({"prompt": {"id": "agt_01k6r5m2x8f3v9q4w7t1y0z5ab"}}, ["body", "prompt", "id"]),
        ({"prompt": {"name": "base", "version": 2}}, ["body", "prompt"]),
        ({"prompt": {"name": "base", "variables": {"unknown": "x"}}}, ["body", "prompt"]),
        ({"prompt": {"name": "base", "variables": {"instructions": 1}}}, ["body", "prompt"]),
        ({"injections": ["weather"]}, ["body", "injections", 0]),
    ],
)
def test_422_for_a_prompt_that_cannot_be_used(api_env: ApiEnv, fields: Any, location: list[Any]) -> None:
    client = api_env.admin_as()
    agent = client.post("/v1/agents", json={**POET, "name": "other"}).json()
    before = api_env.tenant_env.items()
    for answer in (
        client.post("/v1/agents", json={**POET, **fields}),
        client.patch(f"/v1/agents/{agent['id']}", json=fields),
    ):
        assert assert_problem(answer, 422, "VALIDATION_FAILED")["errors"][0]["loc"] == location
    assert api_env.tenant_env.items() == before
