"""`/v1/prompts`: rejected requests. A rejected call writes nothing."""

from typing import Any

import pytest
from atrium.kernel.ids import PromptId
from atrium.prompts import store
from atrium.prompts.model import VERSIONS_MAX
from atrium.prompts.shipped import find_shipped
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update

from tests.builders.api_env import ApiEnv, assert_problem
from tests.builders.gateway import OTHER_TENANT_ID, platform_fields, tenant_fields
from tests.builders.tenant_env import TENANT
from tests.integration.prompts.test_200 import PROMPT, create

pytestmark = pytest.mark.loopback
ID = "prm_01k6r5m2x8f3v9q4w7t1y0z5ab"
HAIKU = "claude-haiku-5-5"


def routes(prompt_id: str) -> list[tuple[str, str, object]]:
    path = f"/v1/prompts/{prompt_id}"
    return [
        ("GET", "/v1/prompts", None),
        ("POST", "/v1/prompts", PROMPT),
        ("POST", "/v1/prompts/render", {"template": "x"}),
        ("GET", path, None),
        ("PATCH", path, {"description": "x"}),
        ("DELETE", path, None),
        ("GET", f"{path}/versions", None),
        ("GET", f"{path}/versions/1", None),
        ("POST", f"{path}/render", {}),
    ]


def test_every_route_requires_a_credential_a_tenant_and_a_scope(api_env: ApiEnv) -> None:
    before = api_env.tenant_env.items()
    for fields, status, code in (
        (None, 401, "UNAUTHENTICATED"),
        (platform_fields(), 400, "TENANT_REQUIRED"),
        (tenant_fields(scopes="chat sessions:read"), 403, "SCOPE_REQUIRED"),
    ):
        for method, path, body in routes(ID):
            assert_problem(api_env.tools_as(fields).request(method, path, json=body), status, code)
    reader = api_env.tools_as(tenant_fields(scopes="agents:read"))
    for method, path, body in routes(ID):
        if method in {"PATCH", "DELETE"} or (path == "/v1/prompts" and body):
            assert_problem(reader.request(method, path, json=body), 403, "SCOPE_REQUIRED")
    assert reader.post("/v1/prompts/render", json={"template": "x"}).status_code == 200
    assert api_env.tenant_env.items() == before


def test_404_for_another_tenants_prompt_and_an_unknown_id(api_env: ApiEnv) -> None:
    made = create(api_env)
    other = api_env.tools_as(tenant_fields(tenant_id=OTHER_TENANT_ID, scopes="admin"))
    for client, prompt_id in ((other, made["id"]), (api_env.tools_as(), ID), (api_env.tools_as(), "x")):
        for method, path, body in routes(prompt_id)[3:]:
            assert_problem(client.request(method, path, json=body), 404, "NOT_FOUND")
    assert {each["source"] for each in other.get("/v1/prompts").json()["data"]} == {"builtin"}
    assert_problem(api_env.tools_as().get(f"/v1/prompts/{made['id']}/versions/2"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({"name": ""}, ["body", "name"]),
        ({"name": "a#b"}, ["body", "name"]),
        ({"description": "a" * 1_001}, ["body", "description"]),
        ({"template": ""}, ["body", "template"]),
        ({"template": "a" * 32_001}, ["body", "template"]),
        ({"template": "{{ topic.__class__ }}"}, ["body", "template"]),
        ({"template": "{% for i in range(10**9) %}{% endfor %}"}, ["body", "template"]),
        ({"template": "{{ topic"}, ["body", "template"]),
        ({"variables": [{"name": "Topic"}]}, ["body", "variables", 0, "name"]),
        ({"variables": [{"name": "loop"}]}, ["body", "variables"]),
        ({"variables": [{"name": "topic", "type": "object"}]}, ["body", "variables", 0, "type"]),
        ({"variables": [{"name": "topic"}, {"name": "topic"}]}, ["body", "variables"]),
        ({"variables": [{"name": "topic", "type": "integer", "default": "1"}]}, ["body", "variables"]),
        ({"variables": [{"name": f"v{at}"} for at in range(51)]}, ["body", "variables"]),
        ({"variables": []}, ["body", "template"]),
        ({"version": 1}, ["body", "version"]),
    ],
)
def test_422_names_the_field_in_create_and_change(api_env: ApiEnv, change: Any, location: list[Any]) -> None:
    made, client = create(api_env, name="other"), api_env.tools_as()
    before = api_env.tenant_env.items()
    for answer in (
        client.post("/v1/prompts", json={**PROMPT, **change}),
        client.patch(f"/v1/prompts/{made['id']}", json=change),
    ):
        problem = assert_problem(answer, 422, "VALIDATION_FAILED")
        assert problem["errors"][0]["loc"] == location
    assert api_env.tenant_env.items() == before


def test_422_names_the_line_and_the_reason_of_a_template(api_env: ApiEnv) -> None:
    answer = api_env.tools_as().post("/v1/prompts/render", json={"template": "Hi\n{{ user_name.x }}"})
    assert assert_problem(answer, 422, "VALIDATION_FAILED")["errors"][0]["msg"] == "line 2: attributes are not allowed"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "the variable `topic` needs a value"),
        ({"topic": 1}, "the value of `topic` must be of the type string"),
        ({"topic": "x", "other": "y"}, "the prompt has no variable `other`"),
        ({"topic": "x", "rules": "y"}, "the value of `rules` must be of the type list"),
    ],
)
def test_422_for_values_that_do_not_fit(api_env: ApiEnv, values: Any, reason: str) -> None:
    path = f"/v1/prompts/{create(api_env)['id']}/render"
    problem = assert_problem(api_env.tools_as().post(path, json={"values": values}), 422, "VALIDATION_FAILED")
    assert problem["errors"][0] == {"loc": ["body", "values"], "msg": reason, "type": "value_error"}


def test_409_for_a_name_in_use_and_for_shipped_prompts(api_env: ApiEnv) -> None:
    create(api_env)
    other, client, shipped = create(api_env, name="other"), api_env.tools_as(), find_shipped("base")
    assert shipped is not None
    before = api_env.tenant_env.items()
    assert_problem(client.post("/v1/prompts", json=PROMPT), 409, "CONFLICT")
    assert_problem(client.patch(f"/v1/prompts/{other['id']}", json={"name": "desk"}), 409, "CONFLICT")
    assert_problem(client.patch(f"/v1/prompts/{shipped.id}", json={"template": "x"}), 409, "CONFLICT")
    assert_problem(client.delete(f"/v1/prompts/{shipped.id}"), 409, "CONFLICT")
    assert api_env.tenant_env.items() == before


def make_agent(api_env: ApiEnv, name: str, prompt: dict[str, Any]) -> str:
    body = {"name": name, "model": HAIKU, "prompt": {"variables": {"topic": "x"}, **prompt}}
    answer = api_env.admin_as().post("/v1/agents", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_409_names_the_agents_that_use_a_prompt(api_env: ApiEnv) -> None:
    made, client = create(api_env), api_env.tools_as()
    path = f"/v1/prompts/{made['id']}"
    agents = [make_agent(api_env, "by id", {"id": made["id"]}), make_agent(api_env, "by name", {"name": "desk"})]
    before = api_env.tenant_env.items()
    for answer in (client.delete(path), client.patch(path, json={"name": "renamed"})):
        assert "`by id`, `by name`" in assert_problem(answer, 409, "CONFLICT")["detail"]
    assert api_env.tenant_env.items() == before
    for agent in agents:
        assert api_env.admin_as().patch(f"/v1/agents/{agent}", json={"prompt": None}).status_code == 200
    assert client.delete(path).status_code == 204


def test_an_override_can_be_deleted_unless_an_agent_does_not_fit_the_shipped_prompt(api_env: ApiEnv) -> None:
    made, client = create(api_env, name="base", template="Own."), api_env.tools_as()
    path = f"/v1/prompts/{made['id']}"
    fits, not_fits = {"name": "base", "variables": {}}, {"name": "base"}
    client.patch(path, json={"variables": [{"name": "topic"}]})
    make_agent(api_env, "fits", fits)
    agent = make_agent(api_env, "does not fit", not_fits)
    detail = assert_problem(client.delete(path), 409, "CONFLICT")["detail"]
    assert "`does not fit`" in detail
    assert "`fits`" not in detail
    assert api_env.admin_as().delete(f"/v1/agents/{agent}").status_code == 204
    assert client.delete(path).status_code == 204


def test_403_at_the_maximum_number_of_prompts_and_versions(api_env: ApiEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PROMPTS_MAX", 1)
    made = create(api_env)
    problem = assert_problem(
        api_env.tools_as().post("/v1/prompts", json={**PROMPT, "name": "b"}), 403, "QUOTA_EXCEEDED"
    )
    assert (problem["limit"], problem["used"], problem["max"]) == ("prompts", 1, 1)
    newest = Update(keys.prompt(PromptId(made["id"])), "SET #version = :newest", EXISTS, {"newest": VERSIONS_MAX})
    api_env.tenant_env.table(TENANT).write(newest)
    answer = api_env.tools_as().patch(f"/v1/prompts/{made['id']}", json={"template": "x"})
    assert assert_problem(answer, 403, "QUOTA_EXCEEDED")["limit"] == "versions"
