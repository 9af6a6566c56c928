"""Successful calls of the session routes: create, list, read, rename and delete, and the messages of a session."""

import pytest

from tests.builders.api_env import ADMIN, OTHER_PRINCIPAL, ApiEnv, assert_problem, say
from tests.builders.gateway import tenant_fields

pytestmark = pytest.mark.loopback


def test_a_session_is_created_and_read(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    body = {"title": "Übung", "end_user": "ann", "metadata": {"deep": [1.5, None, {"x": True}]}}
    created = client.post("/v1/sessions", json=body)
    assert created.status_code == 201, created.text
    session = created.json()
    assert set(session) == {
        "id", "title", "agent_id", "user_id", "end_user", "message_count", "metadata", "created_at", "updated_at",
        "last_active_at",
    }  # fmt: skip
    assert {name: session[name] for name in body} == body
    assert (session["agent_id"], session["user_id"], session["message_count"]) == (None, None, 0)
    assert session["created_at"] == session["updated_at"] == session["last_active_at"]
    assert created.headers["location"] == f"/v1/sessions/{session['id']}"
    read = client.get(created.headers["location"])
    assert (read.status_code, read.json()) == (200, session)


def test_all_fields_are_optional(api_env: ApiEnv) -> None:
    created = api_env.sessions_as().post("/v1/sessions", json={})
    assert created.status_code == 201
    assert (created.json()["title"], created.json()["metadata"]) == (None, {})


def test_location_is_under_the_public_url_or_the_stage(api_env: ApiEnv) -> None:
    created = api_env.sessions_as(stage_prefix="/dev").post("/v1/sessions", json={})
    assert created.headers["location"] == f"/dev/v1/sessions/{created.json()['id']}"


def test_a_users_session_names_its_user(api_env: ApiEnv) -> None:
    created = api_env.sessions_as(OTHER_PRINCIPAL).post("/v1/sessions", json={})
    assert created.json()["user_id"] == OTHER_PRINCIPAL["principal_id"]


def test_any_part_is_changed_and_null_clears_it(api_env: ApiEnv) -> None:
    agent = api_env.admin_as().post("/v1/agents", json={"name": "poet", "model": "claude-haiku-5-5"}).json()
    client = api_env.sessions_as()
    session = client.post("/v1/sessions", json={"title": "Old", "metadata": {"a": 1}}).json()
    path = f"/v1/sessions/{session['id']}"
    renamed = client.patch(path, json={"title": "New"})
    assert renamed.status_code == 200
    assert (renamed.json()["title"], renamed.json()["metadata"]) == ("New", {"a": 1})
    assert renamed.json()["updated_at"] > session["updated_at"]
    assert client.patch(path, json={"agent_id": agent["id"]}).json()["agent_id"] == agent["id"]
    cleared = client.patch(path, json={"title": None, "agent_id": None, "metadata": None}).json()
    assert (cleared["title"], cleared["agent_id"], cleared["metadata"]) == (None, None, {})
    assert client.patch(path, json={}).json() == cleared
    assert client.get(path).json() == cleared


def test_lists_by_last_activity_in_pages(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    made = [client.post("/v1/sessions", json={"title": str(number)}).json()["id"] for number in range(3)]
    api_env.tenant_env.clock.advance(300)
    assert say(api_env.chat_as(), "Hi", session_id=made[0]).status_code == 200
    expected = [made[0], made[2], made[1]]
    first = client.get("/v1/sessions", params={"limit": 2}).json()
    rest = client.get("/v1/sessions", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [session["id"] for session in [*first["data"], *rest["data"]]] == expected
    assert (len(first["data"]), rest["next_cursor"]) == (2, None)


def test_an_admin_sees_all_of_the_tenants(api_env: ApiEnv) -> None:
    mine = api_env.sessions_as().post("/v1/sessions", json={}).json()
    theirs = api_env.sessions_as(OTHER_PRINCIPAL).post("/v1/sessions", json={}).json()
    admin = api_env.sessions_as(ADMIN)
    assert {session["id"] for session in admin.get("/v1/sessions").json()["data"]} == {mine["id"], theirs["id"]}
    assert admin.get(f"/v1/sessions/{theirs['id']}").json() == theirs
    assert admin.delete(f"/v1/sessions/{theirs['id']}").status_code == 204


def test_messages_of_a_turn_with_a_tool(api_env: ApiEnv) -> None:
    session_id = say(api_env.chat_as(), "What is 6*7?").json()["session_id"]
    client = api_env.sessions_as()
    path = f"/v1/sessions/{session_id}/messages"
    body = client.get(path).json()
    assert [message["role"] for message in body["data"]] == ["user", "assistant", "tool", "assistant"]
    assert body["next_cursor"] is None
    asked, called, answered, _said = (message["content"] for message in body["data"])
    assert asked == [{"type": "text", "text": "What is 6*7?"}]
    call = next(block for block in called if block["type"] == "tool_call")
    assert (call["tool"], call["args"]) == ("calculator", {"expression": "6*7"})
    assert answered == [
        {"type": "tool_result", "tool_call_id": call["tool_call_id"], "result": "42", "is_error": False}
    ]
    assert client.get(f"/v1/sessions/{session_id}").json()["message_count"] == 4
    for limit in (1, 2, 3):
        found, cursor = [], None
        while True:
            query = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
            page = client.get(path, params=query).json()
            found += page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found == body["data"]


def test_deletion_keeps_only_the_usage(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    body = say(api_env.chat_as(), "Hi").json()
    path = f"/v1/sessions/{body['session_id']}"
    deleted = client.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    for response in (
        client.get(path),
        client.delete(path),
        client.patch(path, json={"title": "x"}),
        client.get(f"{path}/messages"),
        api_env.chat_as().get(f"/v1/runs/{body['run_id']}"),
        say(api_env.chat_as(), "Hi", session_id=body["session_id"]),
    ):
        assert_problem(response, 404, "NOT_FOUND")
    assert client.get("/v1/sessions").json()["data"] == []
    assert api_env.chat_as().get("/v1/runs").json()["data"] == []
    assert api_env.tenant_env.items("SESSION#") == []
    assert api_env.tenant_env.entry_of(body["run_id"]).cost_nanos > 0


def test_creating_with_a_key_makes_one(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    key = {"idempotency-key": "k"}
    first, again = (client.post("/v1/sessions", json={"title": "x"}, headers=key) for _ in range(2))
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    other = client.post("/v1/sessions", json={"title": "y"}, headers=key)
    assert_problem(other, 422, "IDEMPOTENCY_KEY_REUSED")
    assert len(client.get("/v1/sessions").json()["data"]) == 1


def test_a_viewer_reads_and_changes_nothing(api_env: ApiEnv) -> None:
    session_id = api_env.sessions_as().post("/v1/sessions", json={}).json()["id"]
    viewer = api_env.sessions_as(tenant_fields(scopes="sessions:read"))
    path = f"/v1/sessions/{session_id}"
    assert viewer.get(path).status_code == 200
    for response in (
        viewer.post("/v1/sessions", json={}),
        viewer.patch(path, json={"title": "x"}),
        viewer.delete(path),
    ):
        assert_problem(response, 403, "SCOPE_REQUIRED")
