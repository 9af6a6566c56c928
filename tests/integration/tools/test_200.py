"""`/v1/tools`: definitions of HTTP tools, test calls, and tools in a turn."""

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.builders.api_env import ADMIN, OTHER_PRINCIPAL, OTHER_TENANT, OWN, ApiEnv, read_events
from tests.builders.connections import configure_client, connect
from tests.builders.gateway import Fields, tenant_fields
from tests.builders.http_tools import SCHEMA, SECRET
from tests.builders.tenant_env import OTHER_OWNER, context_of
from tests.unit.egress.sites import Site, say

pytestmark = pytest.mark.loopback
SKY = say(200, b'{"sky": "clear"}', content_type="application/json")


def body_of(port: int = 1, **wishes: Any) -> dict[str, Any]:
    http = {
        "method": "POST", "url": f"http://127.0.0.1:{port}/{{city}}?key={{{{secret.KEY}}}}",
        "headers": {"Authorization": "Bearer {{secret.KEY}}"}, "body": {"key": "{{secret.KEY}}", "days": "{days}"},
    }  # fmt: skip
    return {
        "name": "weather", "description": "Weather of a city.", "input_schema": SCHEMA, "http": http,
        "secrets": {"KEY": SECRET}, "effect": "idempotent", **wishes,
    }  # fmt: skip


def create(api_env: ApiEnv, **wishes: Any) -> dict[str, Any]:
    answer = api_env.tools_as().post("/v1/tools", json=body_of(**wishes))
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"].endswith(f"/v1/tools/{answer.json()['id']}")
    return dict(answer.json())


def make_agent(api_env: ApiEnv, **wishes: Any) -> str:
    fields = {"name": "reporter", "model": "claude-haiku-5-5", "tools": ["weather"], **wishes}
    answer = api_env.admin_as().post("/v1/agents", json=fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def ask(api_env: ApiEnv, agent_id: str, arguments: str = '{"city": "Rome"}', *, fields: Fields = OWN) -> dict[str, Any]:
    """Send a message that makes the model call the tool, and return the tool's result."""
    message = {"agent_id": agent_id, "message": f"[[tool=weather {arguments}]]"}
    with api_env.chat_as(fields).stream("POST", "/v1/chat/stream", json=message) as stream:
        return next(event.data for event in read_events(stream) if event and event.event == "tool_result")


def test_creates_returns_changes_and_deletes_a_tool(api_env: ApiEnv) -> None:
    made, client = create(api_env), api_env.tools_as()
    path = f"/v1/tools/{made['id']}"
    assert client.get(path).json() == made
    assert (made["category"], made["version"], made["permission"], made["secrets"]) == ("http", "1", "write", ["KEY"])
    assert made["http"]["headers"] == {"Authorization": "Bearer {{secret.KEY}}"}
    changed = client.patch(path, json={"timeout_seconds": 3, "secrets": {"KEY": "another value"}}).json()
    assert (changed["version"], changed["timeout_seconds"]) == ("2", 3)
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_lists_built_in_tools_and_then_the_tenants_tools(api_env: ApiEnv) -> None:
    create(api_env)
    create(api_env, name="admin_only", permission="admin")
    reader, cursor, found = api_env.tools_as(tenant_fields(scopes="agents:read chat")), None, []
    for _ in range(len(api_env.runtime.tools)):
        query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = reader.get("/v1/tools", params=query).json()
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    built_in = [tool.name for tool in api_env.runtime.tools]
    assert [each["name"] for each in found] == [*built_in, "admin_only", "weather"]
    assert [each["name"] for each in found if not each["allowed"]] == ["admin_only"]
    assert found[0]["id"] is found[0]["http"] is None
    viewer = api_env.tools_as(tenant_fields(scopes="agents:read"))
    assert not any(each["allowed"] for each in viewer.get("/v1/tools").json()["data"])


def test_a_test_call_returns_the_result_and_is_audited(api_env: ApiEnv) -> None:
    with Site([SKY]).open() as site:
        made = create(api_env, port=site.port)
        answer = api_env.tools_as().post(
            f"/v1/tools/{made['id']}/test", json={"arguments": {"city": "Rome", "days": 2}}
        )
    assert answer.json() == {"result": '{"sky":"clear"}', "is_error": False}
    (request,) = site.seen
    assert json.loads(request.partition(b"\r\n\r\n")[2]) == {"key": SECRET, "days": 2}
    assert b"idempotency-key: test-tol_" in request
    (event,) = api_env.events("tool.call")
    assert (event.details["tool"], event.details["arguments"]) == ("weather", {"city": "Rome", "days": 2})
    wrong = api_env.tools_as().post(f"/v1/tools/{made['id']}/test", json={"arguments": {}}).json()
    assert wrong["is_error"]
    assert "'city' is a required property" in wrong["result"]
    assert not api_env.tenant_env.items("LEDGER")


def test_a_turn_calls_the_tool_and_the_secret_is_only_in_its_request(
    api_env: ApiEnv, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, "atrium")
    echo = say(200, json.dumps({"you sent": SECRET, "sky": "clear"}).encode(), content_type="application/json")
    failing = say(500, f"bad key {SECRET}".encode(), content_type="text/plain")
    answers = []
    with Site([echo, failing]).open() as site:
        made = create(api_env, port=site.port)
        agent_id = make_agent(api_env)
        result, failed = ask(api_env, agent_id), ask(api_env, agent_id, '{"city": "Rome", "days": 1}')
        answers += [result, failed, made, api_env.tools_as().get("/v1/tools").json()]
    assert result["result"] == '{"you sent":"[SECRET]","sky":"clear"}'
    assert failed["result"] == "The server answered with the status 500. bad key [SECRET]"
    assert all(SECRET.encode() in request for request in site.seen)
    assert b"POST /Rome?key=planted%20secret" in site.seen[0]
    tools = [tool for body in api_env.sent_bodies() for tool in body["tools"]]
    assert {tool["name"] for tool in tools} == {"weather"}
    assert tools[0]["input_schema"] == SCHEMA
    output = capsys.readouterr()
    places = {
        "responses": answers, "model requests": api_env.sent_bodies(), "table": api_env.tenant_env.items(),
        "audit": [event.details for kind in ("tool.call", "admin.change") for event in api_env.events(kind)],
        "logs": [caplog.text, output.out, output.err],
    }  # fmt: skip
    for place, content in places.items():
        text = json.dumps(content, default=str)
        assert "planted secret" not in text, place
        assert json.dumps(SECRET)[1:-1] not in text, place


def test_a_change_applies_to_the_next_turn(api_env: ApiEnv) -> None:
    with Site([SKY, SKY]).open() as site:
        made = create(api_env, port=site.port)
        agent_id = make_agent(api_env)
        assert not ask(api_env, agent_id)["is_error"]
        schema = {"type": "object", "required": ["city"], "properties": {"city": {"enum": ["Oslo"]}, "days": {}}}
        api_env.tools_as().patch(f"/v1/tools/{made['id']}", json={"input_schema": schema})
        assert ask(api_env, agent_id)["result"] == "The arguments are not valid: city: 'Rome' is not one of ['Oslo']"
        assert not ask(api_env, agent_id, '{"city": "Oslo"}')["is_error"]


def test_a_tool_uses_the_connection_of_the_user_of_the_run(api_env: ApiEnv) -> None:
    configure_client(api_env.tenant_env)
    connect(api_env.tenant_env, context_of(OTHER_OWNER), access="gho_planted-access-1")
    with Site([SKY, SKY]).open() as site:
        http = {"method": "GET", "url": f"http://127.0.0.1:{site.port}/{{city}}"}
        made = create(api_env, http=http, secrets={}, connection="github")
        assert made["connection"] == "github"
        agent_id = make_agent(api_env)
        result = ask(api_env, agent_id, fields=OTHER_PRINCIPAL)
        without = ask(api_env, agent_id)
        path = f"/v1/tools/{made['id']}"
        tested = api_env.tools_as().post(f"{path}/test", json={"arguments": {"city": "Rome"}}).json()
        assert api_env.tools_as().patch(path, json={"description": "D."}).json()["connection"] == "github"
        assert api_env.tools_as().patch(path, json={"connection": None}).json()["connection"] is None
        assert not ask(api_env, agent_id)["is_error"]
    assert result["result"] == '{"sky":"clear"}'
    assert "The API key has not connected an account at GitHub." in without["result"]
    assert tested == {"result": without["result"], "is_error": True}
    assert [b"authorization: Bearer gho_planted-access-1\r\n" in request for request in site.seen] == [True, False]
    assert [event.details["connection"] for event in api_env.events("admin.change") if "connection" in event.details]


def test_a_policy_and_an_approval_apply_to_the_tool(api_env: ApiEnv) -> None:
    create(api_env, requires_approval=True)
    agent_id = make_agent(api_env)
    message = {"agent_id": agent_id, "message": '[[tool=weather {"city": "Rome"}]]'}
    assert api_env.chat_as().post("/v1/chat", json=message).json()["stop_reason"] == "approval_required"
    policy = {"name": "read only", "effect": "deny", "principals": ["*"], "actions": ["write"]}
    made = api_env.admin_as().post("/v1/policies", json={**policy, "resources": ["tool:weather"]})
    assert made.status_code == 201, made.text
    unknown = api_env.admin_as().post("/v1/policies", json={**policy, "resources": ["tool:whether"]})
    assert unknown.status_code == 422
    tools = api_env.tools_as().get("/v1/tools").json()["data"]
    assert [each["allowed"] for each in tools if each["name"] == "weather"] == [False]


def test_an_agent_without_http_tools_causes_no_read_of_tools(api_env: ApiEnv) -> None:
    create(api_env)
    agent_id = make_agent(api_env, tools=["calculator"])
    read: list[str] = []

    def note(_operation: str, arguments: dict[str, Any], call: Callable[[], Any]) -> Any:
        read.append(str(arguments))
        return call()

    with api_env.tenant_env.intercepted(note):
        answer = api_env.chat_as().post("/v1/chat", json={"agent_id": agent_id, "message": "Hi"})
    assert answer.status_code == 200, answer.text
    assert read
    assert not [arguments for arguments in read if "TOOL#" in arguments]


@pytest.mark.parametrize(
    ("fields", "status"),
    [({**OTHER_TENANT, "scopes": "admin"}, 404), (OWN, 403), (ADMIN, 200)],
    ids=["another tenant", "no scope", "administrator"],
)
def test_who_may_test_a_tool(api_env: ApiEnv, fields: Fields, status: int) -> None:
    made = create(api_env, secrets={"KEY": SECRET})
    answer: httpx2.Response = api_env.tools_as(fields).post(f"/v1/tools/{made['id']}/test", json={"arguments": {}})
    assert answer.status_code == status
