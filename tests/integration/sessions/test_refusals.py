"""Errors of the sessions function: status and code. A rejected call writes nothing."""

import pytest

from tests.builders.api_env import OUTSIDERS, ApiEnv, assert_problem, say
from tests.builders.gateway import platform_fields, tenant_fields

pytestmark = pytest.mark.loopback

SESSION = "ses_01k6r5m2x8f3v9q4w7t1y0z5ab"
AGENT = "agt_01k6r5m2x8f3v9q4w7t1y0z5ab"


def routes(session_id: str) -> list[tuple[str, str, object]]:
    path = f"/v1/sessions/{session_id}"
    return [
        ("GET", "/v1/sessions", None),
        ("POST", "/v1/sessions", {}),
        ("GET", path, None),
        ("PATCH", path, {"title": "x"}),
        ("DELETE", path, None),
        ("GET", f"{path}/messages", None),
        ("POST", f"{path}/fork", {}),
        ("POST", f"{path}/restore", None),
        ("GET", f"{path}/export", None),
        ("GET", f"{path}/export?format=markdown", None),
    ]


def test_every_route_asks_for_a_credential_a_tenant_and_a_scope(api_env: ApiEnv) -> None:
    before = api_env.tenant_env.items()
    for fields, status, code in (
        (None, 401, "UNAUTHENTICATED"),
        (platform_fields(), 400, "TENANT_REQUIRED"),
        (tenant_fields(scopes="chat"), 403, "SCOPE_REQUIRED"),
    ):
        client = api_env.sessions_as(fields)
        for method, path, body in routes(SESSION):
            assert_problem(client.request(method, path, json=body), status, code)
    assert api_env.tenant_env.items() == before


@pytest.mark.parametrize("outsider", OUTSIDERS)
def test_404_for_an_outsider_on_every_route(api_env: ApiEnv, outsider: str) -> None:
    session_id = say(api_env.chat_as(), "Mine").json()["session_id"]
    before = api_env.tenant_env.items()
    client = api_env.sessions_as(OUTSIDERS[outsider])
    for method, path, body in routes(session_id)[2:]:
        response = client.request(method, path, json=body)
        assert_problem(response, 404, "NOT_FOUND")
        assert session_id not in response.text
        unknown = client.request(method, path.replace(session_id, SESSION), json=body)
        assert unknown.json() | {"request_id": ""} == response.json() | {"request_id": ""}, "no word tells them apart"
    assert client.get("/v1/sessions").json() == {"data": [], "next_cursor": None}
    assert api_env.tenant_env.items() == before


def test_404_for_an_agent_that_is_not_the_tenants(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    session_id = client.post("/v1/sessions", json={}).json()["id"]
    other = api_env.admin_as(tenant_fields(tenant_id=OUTSIDERS["another tenant"]["tenant_id"], scopes="admin"))
    foreign = other.get("/v1/agents").json()["data"][0]["id"]
    for agent_id in (AGENT, "x", foreign):
        assert_problem(client.post("/v1/sessions", json={"agent_id": agent_id}), 404, "NOT_FOUND")
        assert_problem(client.patch(f"/v1/sessions/{session_id}", json={"agent_id": agent_id}), 404, "NOT_FOUND")


def test_404_for_unknown_sessions(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    for session_id in (SESSION, "x", "ses_", SESSION.upper(), "run_" + SESSION[4:]):
        for method, path, body in routes(session_id)[2:]:
            assert_problem(client.request(method, path, json=body), 404, "NOT_FOUND")


def test_400_for_a_cursor_of_another_list_or_caller(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    session_id = say(api_env.chat_as(), "One").json()["session_id"]
    client.post("/v1/sessions", json={})
    of_sessions = client.get("/v1/sessions", params={"limit": 1}).json()["next_cursor"]
    of_messages = client.get(f"/v1/sessions/{session_id}/messages", params={"limit": 1}).json()["next_cursor"]
    assert of_sessions
    assert of_messages
    other_id = say(api_env.chat_as(), "Two").json()["session_id"]
    for path, cursor in (
        ("/v1/sessions", of_messages),
        (f"/v1/sessions/{session_id}/messages", of_sessions),
        (f"/v1/sessions/{other_id}/messages", of_messages),
        ("/v1/sessions", "AAAA"),
        ("/v1/sessions", of_sessions[:-2]),
    ):
        assert_problem(client.get(path, params={"cursor": cursor}), 400, "INVALID_CURSOR")
    for fields in OUTSIDERS.values():
        response = api_env.sessions_as(fields).get("/v1/sessions", params={"cursor": of_sessions})
        assert_problem(response, 400, "INVALID_CURSOR")


def test_400_413_415_for_bodies(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    json_type, text_type = {"content-type": "application/json"}, {"content-type": "text/plain"}
    assert_problem(client.post("/v1/sessions", content=b"{", headers=json_type), 400, "MALFORMED")
    assert_problem(client.post("/v1/sessions", content=b"{}", headers=text_type), 415, "UNSUPPORTED_MEDIA_TYPE")
    large = b'{"title": "' + b"x" * 1_048_577 + b'"}'
    assert_problem(client.post("/v1/sessions", content=large, headers=json_type), 413, "PAYLOAD_TOO_LARGE")
    assert api_env.tenant_env.items("SESSION#") == []


def test_400_and_422_for_filters(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    for query in (
        {"user_id": "x"},
        {"agent_id": SESSION},
        {"end_user": ""},
        {"end_user": "x" * 129},
        {"end_user": "a\nb"},
    ):
        assert_problem(client.get("/v1/sessions", params=query), 422, "VALIDATION_FAILED")
    client.post("/v1/sessions", json={"end_user": "ann"})
    client.post("/v1/sessions", json={"end_user": "ann"})
    cursor = client.get("/v1/sessions", params={"end_user": "ann", "limit": 1}).json()["next_cursor"]
    for query in ({"end_user": "bob"}, {}):
        assert_problem(client.get("/v1/sessions", params={**query, "cursor": cursor}), 400, "INVALID_CURSOR")


def test_404_409_422_for_forks(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    session_id, other_id = (say(api_env.chat_as(), text).json()["session_id"] for text in ("One", "Two"))
    path = f"/v1/sessions/{session_id}/fork"
    foreign = client.get(f"/v1/sessions/{other_id}/messages").json()["data"][0]["id"]
    before = api_env.tenant_env.items()
    for message_id in (foreign, "msg_x"):
        assert_problem(client.post(path, json={"message_id": message_id}), 404, "NOT_FOUND")
    unfit: list[object] = [{"message_id": 1}, {"title": "x" * 256}, {"metadata": {}}, []]
    for body in unfit:
        assert_problem(client.post(path, json=body), 422, "VALIDATION_FAILED")
    assert api_env.tenant_env.items() == before
    turn = api_env.tenant_env.begin("Three", session_id=session_id)
    assert_problem(client.post(path, json={"message_id": turn.run.question.id}), 409, "SESSION_BUSY")
    list(turn.events())


def test_409_for_the_restoration_of_a_session_that_is_not_deleted(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    session_id = client.post("/v1/sessions", json={}).json()["id"]
    assert_problem(client.post(f"/v1/sessions/{session_id}/restore"), 409, "CONFLICT")


def test_400_and_422_for_exports(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    session_id = say(api_env.chat_as(), "One").json()["session_id"]
    path = f"/v1/sessions/{session_id}"
    cursor = client.get(f"{path}/messages", params={"limit": 1}).json()["next_cursor"]
    assert_problem(client.get(f"{path}/export", params={"cursor": cursor}), 400, "INVALID_CURSOR")
    assert_problem(client.get(f"{path}/export", params={"format": "pdf"}), 422, "VALIDATION_FAILED")
    for permanent in ("1", "yes", ""):
        assert_problem(client.delete(path, params={"permanent": permanent}), 422, "VALIDATION_FAILED")


UNFIT: list[object] = [
    {"title": "x" * 256},
    {"title": 1},
    {"id": SESSION},
    {"message_count": 3},
    {"metadata": []},
    {"metadata": {"x": "y" * 40_000}},
    {"metadata": {"x": [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}},
    {"title": "two\nlines"},
    {"agent_id": 1},
    [],
]


def test_422_for_invalid_fields(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    session = client.post("/v1/sessions", json={}).json()
    path = f"/v1/sessions/{session['id']}"
    for body in UNFIT:
        assert_problem(client.post("/v1/sessions", json=body), 422, "VALIDATION_FAILED")
        assert_problem(client.patch(path, json=body), 422, "VALIDATION_FAILED")
    assert_problem(client.patch(path, json={"end_user": "x"}), 422, "VALIDATION_FAILED")
    assert_problem(client.post("/v1/sessions", json={"end_user": "x" * 129}), 422, "VALIDATION_FAILED")
    for query in ({"limit": "0"}, {"limit": "101"}, {"limit": "a"}, {"page": "2"}):
        assert_problem(client.get("/v1/sessions", params=query), 422, "VALIDATION_FAILED")
    assert client.get(path).json() == session


def test_405_for_another_method(api_env: ApiEnv) -> None:
    response = api_env.sessions_as().put(f"/v1/sessions/{SESSION}", json={})
    assert_problem(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "DELETE, GET, HEAD, PATCH"
