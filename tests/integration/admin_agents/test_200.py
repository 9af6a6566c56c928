"""Successful calls of the agent routes: create, list, read, change and delete. One agent is the default."""

import pytest

from tests.builders.api_env import ApiEnv, assert_problem, say
from tests.builders.gateway import tenant_fields

pytestmark = pytest.mark.loopback

POET = {"name": "poet", "model": "claude-haiku-5-5"}


def test_an_agent_is_created_with_its_defaults(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    created = client.post("/v1/agents", json=POET)
    assert created.status_code == 201, created.text
    agent = created.json()
    assert {name: agent[name] for name in agent if name not in {"id", "created_at", "updated_at"}} == {
        "name": "poet",
        "description": None,
        "provider": "anthropic",
        "model": "claude-haiku-5-5",
        "system_prompt": None,
        "prompt": None,
        "injections": ["todo", "limits", "preferences"],
        "tools": [],
        "max_tokens": 4096,
        "temperature": None,
        "max_iterations": 20,
        "require_done_tool": False,
        "compaction_profile": None,
        "max_history_messages": 100,
        "max_history_tokens": 100_000,
        "limits": {},
        "fallback_models": [],
        "fallback_text": None,
        "require_approval": [],
        "is_default": False,
    }
    assert created.headers["location"] == f"/v1/agents/{agent['id']}"
    assert client.get(created.headers["location"]).json() == agent


def test_creates_an_agent_with_all_fields(api_env: ApiEnv) -> None:
    body = {
        "name": "Café counter",
        "description": "Counts",
        "provider": "anthropic",
        "model": "claude-sonnet-5-5",
        "system_prompt": "Count.\nAlways.",
        "tools": ["calculator", "current_time", "calculator"],
        "max_tokens": 128_000,
        "temperature": None,
        "max_iterations": 100,
        "require_done_tool": True,
        "compaction_profile": "coding",
        "max_history_messages": 10,
        "max_history_tokens": 1_000_000,
        "is_default": True,
    }
    agent = api_env.admin_as().post("/v1/agents", json=body).json()
    assert {name: agent[name] for name in body} == {**body, "tools": ["calculator", "current_time"]}
    assert say(api_env.chat_as(), "Hi", limits={"max_iterations": 1}).status_code == 200
    sent = api_env.sent_bodies()[-1]
    assert (sent["model"], sent["max_tokens"]) == ("claude-sonnet-5-5", 128_000)
    assert {tool["name"] for tool in sent["tools"]} == {"calculator", "current_time", "done"}


def test_changes_apply_to_the_next_turn(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    (default,) = client.get("/v1/agents").json()["data"]
    session_id = say(api_env.chat_as(), "Hi").json()["session_id"]
    changed = client.patch(f"/v1/agents/{default['id']}", json={"system_prompt": "Rhyme.", "model": "claude-opus-5-5"})
    assert changed.status_code == 200
    same = {name for name in default if default[name] == changed.json()[name]}
    assert set(default) - same == {"system_prompt", "model", "updated_at"}
    say(api_env.chat_as(), "Hi", session_id=session_id)
    assert api_env.sent_bodies()[-1]["model"] == "claude-opus-5-5"
    assert api_env.sent_bodies()[-1]["system"][0]["text"] == "Rhyme."
    assert client.patch(f"/v1/agents/{default['id']}", json={}).json()["system_prompt"] == "Rhyme."


def test_the_default_moves(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    (before,) = client.get("/v1/agents").json()["data"]
    agent = client.post("/v1/agents", json=POET).json()
    assert client.patch(f"/v1/agents/{agent['id']}", json={"is_default": True}).json()["is_default"] is True
    listed = client.get("/v1/agents").json()["data"]
    assert [(each["id"], each["is_default"]) for each in listed] == [(before["id"], False), (agent["id"], True)]
    assert client.delete(f"/v1/agents/{before['id']}").status_code == 204
    assert [each["id"] for each in client.get("/v1/agents").json()["data"]] == [agent["id"]]


def test_lists_in_pages(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    for number in range(3):
        client.post("/v1/agents", json={**POET, "name": f"n{number}"})
    first = client.get("/v1/agents", params={"limit": 3}).json()
    rest = client.get("/v1/agents", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [agent["name"] for agent in [*first["data"], *rest["data"]]] == ["assistant", "n0", "n1", "n2"]
    assert rest["next_cursor"] is None


def test_creating_with_an_idempotency_key_creates_one(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    first, again = (client.post("/v1/agents", json=POET, headers={"idempotency-key": "k"}) for _ in range(2))
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"


def test_read_and_write_scopes(api_env: ApiEnv) -> None:
    reader = api_env.admin_as(tenant_fields(scopes="agents:read"))
    writer = api_env.admin_as(tenant_fields(scopes="agents:write"))
    agent = writer.post("/v1/agents", json=POET).json()
    path = f"/v1/agents/{agent['id']}"
    assert reader.get(path).status_code == reader.get("/v1/agents").status_code == 200
    for response in (
        reader.post("/v1/agents", json=POET),
        reader.patch(path, json={"name": "x"}),
        reader.delete(path),
        writer.get(path),
        writer.get("/v1/agents"),
    ):
        assert_problem(response, 403, "SCOPE_REQUIRED")
    assert writer.delete(path).status_code == 204
