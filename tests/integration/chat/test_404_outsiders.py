"""Resources of another tenant or another owner are not found on any route of chat and runs."""

import pytest

from tests.builders.api_env import OUTSIDERS, ApiEnv, assert_problem, say

pytestmark = pytest.mark.loopback


@pytest.fixture
def made(api_env: ApiEnv) -> dict[str, str]:
    """The ids of a session and a run of the caller, and of an agent of the tenant."""
    body = say(api_env.chat_as(), "Mine").json()
    agent = api_env.admin_as().post("/v1/agents", json={"name": "poet", "model": "claude-haiku-5-5"}).json()
    return {"session_id": body["session_id"], "run_id": body["run_id"], "agent_id": agent["id"]}


@pytest.mark.parametrize("outsider", OUTSIDERS)
def test_runs_are_not_found(api_env: ApiEnv, made: dict[str, str], outsider: str) -> None:
    client = api_env.chat_as(OUTSIDERS[outsider])
    before = api_env.tenant_env.items()
    path = f"/v1/runs/{made['run_id']}"
    for response in (
        client.get(path),
        client.get(f"{path}/events"),
        client.get(f"{path}/events", headers={"accept": "application/json", "last-event-id": "1"}),
        client.post(f"{path}/cancel"),
    ):
        problem = assert_problem(response, 404, "NOT_FOUND")
        assert made["run_id"] not in str(problem)
    for query in ({}, {"session_id": made["session_id"]}, {"status": "succeeded"}):
        assert client.get("/v1/runs", params=query).json() == {"data": [], "next_cursor": None}
    assert api_env.tenant_env.items() == before


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
@pytest.mark.parametrize("outsider", OUTSIDERS)
def test_a_session_is_not_found(api_env: ApiEnv, made: dict[str, str], outsider: str, path: str) -> None:
    before = api_env.tenant_env.items()
    asked = len(api_env.server.requests())
    client = api_env.chat_as(OUTSIDERS[outsider])
    for extra in ({}, {"on_busy": "interrupt"}, {"on_busy": "queue"}):
        response = client.post(path, json={"message": "Let me in", "session_id": made["session_id"], **extra})
        assert_problem(response, 404, "NOT_FOUND")
    assert api_env.tenant_env.items() == before
    assert len(api_env.server.requests()) == asked


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
def test_an_agent_of_another_tenant_is_not_found(api_env: ApiEnv, made: dict[str, str], path: str) -> None:
    client = api_env.chat_as(OUTSIDERS["another tenant"])
    response = client.post(path, json={"message": "Hi", "agent_id": made["agent_id"]})
    assert_problem(response, 404, "NOT_FOUND")


def test_rejects_a_cursor_of_another_tenant_or_owner(api_env: ApiEnv, made: dict[str, str]) -> None:
    client = api_env.chat_as()
    say(client, "Another")
    cursor = client.get("/v1/runs", params={"limit": 1}).json()["next_cursor"]
    assert cursor
    for fields in OUTSIDERS.values():
        response = api_env.chat_as(fields).get("/v1/runs", params={"limit": 1, "cursor": cursor})
        assert_problem(response, 400, "INVALID_CURSOR")
    filtered = client.get("/v1/runs", params={"limit": 1, "cursor": cursor, "status": "failed"})
    assert_problem(filtered, 400, "INVALID_CURSOR")
