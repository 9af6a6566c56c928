"""Another tenant's and another owner's ids: on every route of chat and runs there is no such thing."""

import pytest

from tests.builders.stage import STRANGERS, Stage, assert_problem, say

pytestmark = pytest.mark.loopback


@pytest.fixture
def made(stage: Stage) -> dict[str, str]:
    """A session and a run of the caller's, and an agent of its tenant."""
    body = say(stage.chat_as(), "Mine").json()
    agent = stage.admin_as().post("/v1/agents", json={"name": "poet", "model": "claude-haiku-5-5"}).json()
    return {"session_id": body["session_id"], "run_id": body["run_id"], "agent_id": agent["id"]}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_runs(stage: Stage, made: dict[str, str], stranger: str) -> None:
    client = stage.chat_as(STRANGERS[stranger])
    before = stage.house.items()
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
    assert stage.house.items() == before


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_session(stage: Stage, made: dict[str, str], stranger: str, path: str) -> None:
    before = stage.house.items()
    asked = len(stage.server.requests())
    client = stage.chat_as(STRANGERS[stranger])
    for extra in ({}, {"on_busy": "interrupt"}, {"on_busy": "queue"}):
        response = client.post(path, json={"message": "Let me in", "session_id": made["session_id"], **extra})
        assert_problem(response, 404, "NOT_FOUND")
    assert stage.house.items() == before
    assert len(stage.server.requests()) == asked


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
def test_an_agent_of_another_tenant(stage: Stage, made: dict[str, str], path: str) -> None:
    client = stage.chat_as(STRANGERS["another tenant"])
    response = client.post(path, json={"message": "Hi", "agent_id": made["agent_id"]})
    assert_problem(response, 404, "NOT_FOUND")


def test_a_cursor_of_another_tenant_or_owner(stage: Stage, made: dict[str, str]) -> None:
    client = stage.chat_as()
    say(client, "Another")
    cursor = client.get("/v1/runs", params={"limit": 1}).json()["next_cursor"]
    assert cursor
    for fields in STRANGERS.values():
        response = stage.chat_as(fields).get("/v1/runs", params={"limit": 1, "cursor": cursor})
        assert_problem(response, 400, "INVALID_CURSOR")
    filtered = client.get("/v1/runs", params={"limit": 1, "cursor": cursor, "status": "failed"})
    assert_problem(filtered, 400, "INVALID_CURSOR")
