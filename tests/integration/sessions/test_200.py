"""Successful calls of the session routes: create, list, read, rename and delete, and the messages of a session."""

import pytest
from starlette.testclient import TestClient

from tests.builders.api_env import ADMIN, OTHER_PRINCIPAL, OWN, ApiEnv, assert_problem, say
from tests.builders.gateway import tenant_fields
from tests.builders.sweeping import DAY_SECONDS, set_settings

pytestmark = pytest.mark.loopback


def test_a_session_is_created_and_read(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    body = {"title": "Übung", "end_user": "ann", "metadata": {"deep": [1.5, None, {"x": True}]}}
    created = client.post("/v1/sessions", json=body)
    assert created.status_code == 201, created.text
    session = created.json()
    assert set(session) == {
        "id", "title", "agent_id", "user_id", "end_user", "message_count", "metadata", "forked_from", "created_at",
        "updated_at", "last_active_at",
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
    longest = {"title": "ü" * 255, "metadata": {"x": "y" * 31_000}}
    bounds = client.patch(path, json=longest).json()
    assert {name: bounds[name] for name in longest} == longest
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
    deleted = client.delete(path, params={"permanent": "true"})
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


def test_a_deleted_session_is_restored_as_it_was(api_env: ApiEnv) -> None:
    client, chat = api_env.sessions_as(), api_env.chat_as()
    body = say(chat, "Hi", {"idempotency-key": "k"}).json()
    path = f"/v1/sessions/{body['session_id']}"
    session, messages = client.get(path).json(), client.get(f"{path}/messages").json()
    assert client.delete(path).status_code == 204
    for response in (
        client.get(path),
        client.delete(path),
        client.get(f"{path}/messages"),
        client.get(f"{path}/export"),
        client.post(f"{path}/fork", json={}),
        chat.get(f"/v1/runs/{body['run_id']}"),
        chat.get(f"/v1/runs/{body['run_id']}/events"),
        chat.post(f"/v1/runs/{body['run_id']}/cancel"),
        say(chat, "Hi", session_id=body["session_id"]),
    ):
        assert_problem(response, 404, "NOT_FOUND")
    assert_problem(say(chat, "Hi", {"idempotency-key": "k"}), 409, "CONFLICT")
    assert client.get("/v1/sessions").json()["data"] == chat.get("/v1/runs").json()["data"] == []
    restored = client.post(f"{path}/restore")
    assert (restored.status_code, restored.json()) == (200, session)
    assert client.get(f"{path}/messages").json() == messages
    assert say(chat, "Hi", {"idempotency-key": "k"}).json() == body
    actions = [event.details["action"] for event in api_env.events("admin.change")]
    assert actions == ["session.restore", "session.delete"]
    assert api_env.events("admin.change")[0].session_id == body["session_id"]


def test_the_tenants_window_applies_to_deletions(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    path = f"/v1/sessions/{client.post('/v1/sessions', json={}).json()['id']}"
    set_settings(api_env.tenant_env, undelete_days=1)
    client.delete(path)
    api_env.tenant_env.clock.advance(DAY_SECONDS + 1)
    assert_problem(client.post(f"{path}/restore"), 404, "NOT_FOUND")
    set_settings(api_env.tenant_env, undelete_days=0)
    other = f"/v1/sessions/{client.post('/v1/sessions', json={}).json()['id']}"
    client.delete(other)
    assert_problem(client.post(f"{other}/restore"), 404, "NOT_FOUND")
    assert len(api_env.tenant_env.items("SESSION#")) == 1


def test_a_fork_has_the_history_and_is_used_like_any_session(api_env: ApiEnv) -> None:
    client, chat = api_env.sessions_as(), api_env.chat_as()
    session_id = say(chat, "What is 6*7?").json()["session_id"]
    path = f"/v1/sessions/{session_id}"
    messages = client.get(f"{path}/messages").json()["data"]
    fork = client.post(f"{path}/fork", json={"message_id": messages[1]["id"]})
    assert fork.status_code == 201
    made = fork.json()
    assert fork.headers["location"] == f"/v1/sessions/{made['id']}"
    assert made["forked_from"] == {"session_id": session_id, "message_id": messages[1]["id"]}
    assert (made["title"], made["message_count"]) == ("What is 6*7?", 3)
    copied = client.get(f"/v1/sessions/{made['id']}/messages").json()["data"]
    assert [each["content"] for each in copied] == [each["content"] for each in messages[:3]]
    run = chat.get(f"/v1/runs/{copied[0]['run_id']}").json()
    assert (run["session_id"], run["status"], run["usage"]["cost_usd"]) == (made["id"], "cancelled", "0.000000")
    events = chat.get(f"/v1/runs/{run['id']}/events", headers={"accept": "application/json"}).json()["data"]
    assert [event["event"] for event in events] == ["start", "usage", "final"]
    assert say(chat, "And 6*8?", session_id=made["id"]).status_code == 200
    whole = client.post(f"{path}/fork", json={"title": "Whole"}).json()
    assert (whole["title"], whole["message_count"], whole["forked_from"]["message_id"]) == ("Whole", 4, None)


def test_lists_with_filters(api_env: ApiEnv) -> None:
    agent = api_env.admin_as().post("/v1/agents", json={"name": "poet", "model": "claude-haiku-5-5"}).json()["id"]
    client, other, admin = (api_env.sessions_as(fields) for fields in (OWN, OTHER_PRINCIPAL, ADMIN))
    bodies = {"a": {"end_user": "ann"}, "b": {"end_user": "ann", "agent_id": agent}, "c": {"agent_id": agent}}
    made = {name: client.post("/v1/sessions", json=body).json()["id"] for name, body in bodies.items()}
    made["d"] = other.post("/v1/sessions", json={"end_user": "ann"}).json()["id"]
    user = str(OTHER_PRINCIPAL["principal_id"])

    def listed(who: TestClient, **query: str) -> str:
        found = who.get("/v1/sessions", params=query).json()["data"]
        return "".join(name for session in found for name, id in made.items() if session["id"] == id)

    assert listed(client, end_user="ann") == "ba"
    assert listed(client, end_user="ann", agent_id=agent) == "b"
    assert listed(client, agent_id=agent) == "cb"
    assert listed(admin, end_user="ann") == "dba"
    assert listed(admin, user_id=user, end_user="ann") == listed(other, user_id=user) == "d"
    assert listed(admin, user_id=user, agent_id=agent) == listed(client, user_id=user) == ""


def test_exports_json_and_markdown(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    session_id = say(api_env.chat_as(), "What is 6*7?").json()["session_id"]
    path = f"/v1/sessions/{session_id}"
    client.patch(path, json={"title": 'Übung 6/7; "x"'})
    whole = client.get(f"{path}/export")
    body = whole.json()
    assert body["session"] == client.get(path).json()
    (run,) = body["runs"]
    assert run["messages"] == client.get(f"{path}/messages").json()["data"]
    assert run["usage"]["tool_calls"] == 1
    assert float(run["usage"]["cost_usd"]) > 0
    assert body["next_cursor"] is None
    name = "%C3%9Cbung%206_7%3B%20%22x%22"
    assert whole.headers["content-disposition"] == (
        f"attachment; filename=\"{session_id}.json\"; filename*=UTF-8''{name}.json"
    )
    document = client.get(f"{path}/export", params={"format": "markdown"})
    assert document.headers["content-type"] == "text/markdown; charset=utf-8"
    assert document.headers["content-disposition"].endswith(f"{name}.md")
    assert document.text.startswith("# Übung 6/7; ")
    assert "```text\n42\n```" in document.text


def test_exports_a_large_session_in_parts(api_env: ApiEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atrium.sessions.service.PAGE_BYTES_MAX", 500)
    monkeypatch.setattr("atrium.sessions.export.PAGE_BYTES_MAX", 500)
    client = api_env.sessions_as()
    session_id = say(api_env.chat_as(), "What is 6*7?").json()["session_id"]
    expected = client.get(f"/v1/sessions/{session_id}/messages", params={"limit": 1}).json()
    for format in ("json", "markdown"):
        parts, url = [], f"/v1/sessions/{session_id}/export?format={format}"
        while url:
            part = client.get(url)
            parts.append(part)
            url = part.headers["link"].split(">")[0][1:] if "link" in part.headers else ""
        assert len(parts) > 1
        if format == "json":
            found = [message for part in parts for run in part.json()["runs"] for message in run["messages"]]
            assert ([message["role"] for message in found], found[0]) == (
                ["user", "assistant", "tool", "assistant"], expected["data"][0]
            )  # fmt: skip
        else:
            assert "".join(part.text for part in parts).count("## Turn ") == 1


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
        viewer.post(f"{path}/fork", json={}),
        viewer.post(f"{path}/restore"),
    ):
        assert_problem(response, 403, "SCOPE_REQUIRED")
