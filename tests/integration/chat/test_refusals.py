"""Requests that chat rejects: status and code. No item is written, and no model is called."""

from typing import Any

import pytest
from atrium.llm.model import Text

from functions.chat.models import ChatBody
from tests.builders.api_env import OTHER_TENANT, OWN, ApiEnv, assert_problem, say
from tests.builders.gateway import platform_fields, tenant_fields

pytestmark = pytest.mark.loopback

CHATS = ["/v1/chat", "/v1/chat/stream"]
AGENT = "agt_01k6r5m2x8f3v9q4w7t1y0z5ab"
SESSION = "ses_01k6r5m2x8f3v9q4w7t1y0z5ab"
RUN = "run_01k6r5m2x8f3v9q4w7t1y0z5ab01k6r5m2x8f3v9q4w7t1y0z5ab"
ROUTES = [
    ("POST", "/v1/chat", {"message": "Hi"}),
    ("POST", "/v1/chat/stream", {"message": "Hi"}),
    ("GET", "/v1/runs", None),
    ("GET", f"/v1/runs/{RUN}", None),
    ("GET", f"/v1/runs/{RUN}/events", None),
    ("POST", f"/v1/runs/{RUN}/cancel", None),
]


@pytest.fixture(autouse=True)
def nothing_is_written(api_env: ApiEnv) -> Any:
    before = api_env.tenant_env.items()
    yield
    assert api_env.tenant_env.items() == before
    assert api_env.server.requests() == []


def test_every_route_requires_credential_tenant_and_scope(api_env: ApiEnv) -> None:
    for fields, status, code in (
        (None, 401, "UNAUTHENTICATED"),
        (platform_fields(), 400, "TENANT_REQUIRED"),
        (tenant_fields(scopes="usage:read"), 403, "SCOPE_REQUIRED"),
    ):
        client = api_env.chat_as(fields)
        for method, path, body in ROUTES:
            assert_problem(client.request(method, path, json=body), status, code)


def test_read_and_chat_scopes_are_separate(api_env: ApiEnv) -> None:
    reader = api_env.chat_as(tenant_fields(scopes="sessions:read"))
    assert reader.get("/v1/runs").status_code == 200
    assert_problem(say(reader, "Hi"), 403, "SCOPE_REQUIRED")
    assert_problem(reader.post(f"/v1/runs/{RUN}/cancel"), 403, "SCOPE_REQUIRED")
    assert_problem(api_env.chat_as(tenant_fields(scopes="chat")).get("/v1/runs"), 403, "SCOPE_REQUIRED")


@pytest.mark.parametrize("path", CHATS)
def test_400_for_invalid_json(api_env: ApiEnv, path: str) -> None:
    client = api_env.chat_as()
    for content in (b"{", b"\xff\xfe", b'{"message": NaN}', b'{"message": "\\ud800"}', b'{"message": "Hi"}x'):
        response = client.post(path, content=content, headers={"content-type": "application/json"})
        assert_problem(response, 400, "MALFORMED")


@pytest.mark.parametrize("path", CHATS)
def test_415_for_another_type(api_env: ApiEnv, path: str) -> None:
    client = api_env.chat_as()
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"):
        response = client.post(path, content=b'{"message": "Hi"}', headers={"content-type": content_type})
        assert_problem(response, 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("path", CHATS)
def test_413_for_more_than_one_mebibyte(api_env: ApiEnv, path: str) -> None:
    response = api_env.chat_as().post(path, json={"message": "x" * 1_048_577})
    assert_problem(response, 413, "PAYLOAD_TOO_LARGE")


UNFIT: list[object] = [
    {},
    {"message": ""},
    {"message": " \n\t\u2003"},
    {"message": "x" * 100_001},
    {"message": 1},
    {"message": None},
    {"message": ["Hi"]},
    {"message": "Hi", "stream": True},
    {"message": "Hi", "limits": {"max_seconds": 281}},
    {"message": "Hi", "limits": {"max_seconds": 0}},
    {"message": "Hi", "limits": {"max_iterations": 101}},
    {"message": "Hi", "limits": {"max_tokens": 1.0}},
    {"message": "Hi", "limits": {"max_cost_usd": 1}},
    {"message": "Hi", "limits": {"max_cost_usd": "0"}},
    {"message": "Hi", "limits": {"max_cost_usd": "-1"}},
    {"message": "Hi", "limits": {"max_cost_usd": "0.0000001"}},
    {"message": "Hi", "limits": {"max_cost_usd": "NaN"}},
    {"message": "Hi", "limits": {"max_cost_usd": "1e3000"}},
    {"message": "Hi", "limits": {"other": 1}},
    {"message": "Hi", "limits": None},
    {"message": "Hi", "on_busy": "wait"},
    {"message": "Hi", "end_user": "x" * 129},
    {"message": "Hi", "metadata": []},
    {"message": "Hi", "metadata": {"x": "y" * 40_000}},
    {"message": "Hi", "session_id": 7},
    {"message": "Hi", "model": "gpt-4"},
    [],
    "Hi",
]


@pytest.mark.parametrize("path", CHATS)
def test_422_for_invalid_fields(api_env: ApiEnv, path: str) -> None:
    client = api_env.chat_as()
    for body in UNFIT:
        problem = assert_problem(client.post(path, json=body), 422, "VALIDATION_FAILED")
        assert problem["errors"], body
        assert "xxxx" not in str(problem)


def test_422_for_a_provider_that_is_not_configured(api_env: ApiEnv) -> None:
    assert_problem(say(api_env.chat_as(), "Hi", provider="openai"), 422, "PROVIDER_UNSUPPORTED")


@pytest.mark.parametrize(("plan", "most"), [("free", 10_000), ("starter", 20_000), ("pro", 50_000)])
def test_422_for_a_message_longer_than_the_plan_allows(api_env: ApiEnv, plan: str, most: int) -> None:
    client = api_env.chat_as({**OWN, "plan": plan})
    problem = assert_problem(say(client, "字" * (most + 1)), 422, "VALIDATION_FAILED")
    assert str(most) in problem["detail"]


def test_accepts_100_000_characters_of_any_script() -> None:
    body = ChatBody.model_validate({"message": "字" * 100_000})
    assert body.to_domain().message == (Text("字" * 100_000),)


@pytest.mark.parametrize("path", CHATS)
def test_403_for_another_tenant_by_name(api_env: ApiEnv, path: str) -> None:
    body = {"message": "Hi", "tenant_id": OTHER_TENANT["tenant_id"]}
    assert_problem(api_env.chat_as().post(path, json=body), 403, "TENANT_MISMATCH")


@pytest.mark.parametrize("path", CHATS)
def test_403_for_a_model_outside_the_plan(api_env: ApiEnv, path: str) -> None:
    free = api_env.chat_as({**OWN, "plan": "free"})
    assert_problem(free.post(path, json={"message": "Hi", "model": "claude-opus-5-5"}), 403, "MODEL_NOT_ALLOWED")


@pytest.mark.parametrize("path", CHATS)
def test_404_for_unknown_ids(api_env: ApiEnv, path: str) -> None:
    client = api_env.chat_as()
    for names in (
        {"session_id": SESSION},
        {"session_id": "x"},
        {"session_id": ""},
        {"agent_id": AGENT},
        {"agent_id": "x"},
    ):
        assert_problem(client.post(path, json={"message": "Hi", **names}), 404, "NOT_FOUND")


def test_404_for_unknown_runs(api_env: ApiEnv) -> None:
    client = api_env.chat_as()
    for run_id in (RUN, "x", "run_x", SESSION, "run_01k6r5m2x8f3v9q4w7t1y0z5ab", RUN.upper()):
        for response in (
            client.get(f"/v1/runs/{run_id}"),
            client.get(f"/v1/runs/{run_id}/events"),
            client.post(f"/v1/runs/{run_id}/cancel"),
        ):
            assert_problem(response, 404, "NOT_FOUND")


def test_422_for_invalid_queries_and_headers(api_env: ApiEnv) -> None:
    client, path = api_env.chat_as(), f"/v1/runs/{RUN}/events"
    for query in ({"after": "-1"}, {"after": "x"}, {"wait": "21"}, {"other": "1"}):
        assert_problem(client.get(path, params=query), 422, "VALIDATION_FAILED")
    for header in (b"-1", b"x", b"1.5", "\u0663".encode()):
        assert_problem(client.get(path, headers=[(b"last-event-id", header)]), 422, "VALIDATION_FAILED")
    for query in ({"status": "done"}, {"limit": "0"}, {"limit": "101"}, {"limit": "1.0"}, {"x": "1"}):
        assert_problem(client.get("/v1/runs", params=query), 422, "VALIDATION_FAILED")


def test_400_for_an_invalid_cursor(api_env: ApiEnv) -> None:
    assert_problem(api_env.chat_as().get("/v1/runs", params={"cursor": "AAAA"}), 400, "INVALID_CURSOR")


def test_405_names_allowed_methods(api_env: ApiEnv) -> None:
    client = api_env.chat_as()
    for method, path, allowed in (
        ("GET", "/v1/chat", "POST"),
        ("DELETE", f"/v1/runs/{RUN}", "GET, HEAD"),
        ("POST", "/v1/runs", "GET, HEAD"),
    ):
        response = client.request(method, path)
        assert_problem(response, 405, "METHOD_NOT_ALLOWED")
        assert response.headers["allow"] == allowed


def test_404_for_an_unknown_path(api_env: ApiEnv) -> None:
    assert_problem(api_env.chat_as().get("/v1/chats"), 404, "NOT_FOUND")
