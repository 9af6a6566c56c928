"""Errors of the file routes: status and code. A rejected call writes nothing."""

import pytest
from atrium.files.model import FILES_MAX
from atrium.storage import keys
from atrium.storage.writes import ANY, Put

from tests.builders.api_env import OTHER_TENANT, ApiEnv, assert_problem
from tests.builders.gateway import platform_fields, tenant_fields

pytestmark = pytest.mark.loopback

FILE = {"path": "notes/todo.txt", "content": "one"}
OF_FILE = {"path": FILE["path"]}
CALLS: list[tuple[str, str, dict[str, str], object]] = [
    ("GET", "/v1/files", {}, None),
    ("POST", "/v1/files", {}, FILE),
    ("GET", "/v1/files/content", OF_FILE, None),
    ("DELETE", "/v1/files", OF_FILE, None),
]


def test_every_route_asks_for_a_credential_a_tenant_and_a_scope(api_env: ApiEnv) -> None:
    for fields, status, code in (
        (None, 401, "UNAUTHENTICATED"),
        (platform_fields(), 400, "TENANT_REQUIRED"),
        (tenant_fields(scopes="chat agents:write"), 403, "SCOPE_REQUIRED"),
    ):
        client = api_env.sessions_as(fields)
        for method, path, query, body in CALLS:
            assert_problem(client.request(method, path, params=query, json=body), status, code)
    assert api_env.tenant_env.items("FILES") == []


def test_404_for_an_unknown_file_and_another_tenants_file(api_env: ApiEnv) -> None:
    api_env.sessions_as(OTHER_TENANT).post("/v1/files", json=FILE)
    client, before = api_env.sessions_as(), api_env.tenant_env.items()
    assert client.get("/v1/files").json()["data"] == []
    for method, path, _, _ in CALLS[2:]:
        theirs = assert_problem(client.request(method, path, params=OF_FILE), 404, "NOT_FOUND")
        unknown = assert_problem(client.request(method, path, params={"path": "unknown"}), 404, "NOT_FOUND")
        assert theirs["detail"] == unknown["detail"]
    assert api_env.tenant_env.items() == before


def test_409_for_other_content_than_expected(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    digest = client.post("/v1/files", json=FILE | {"expected_sha256": "none"}).json()["sha256"]
    for expected in ("none", "0" * 64):
        assert_problem(client.post("/v1/files", json=FILE | {"expected_sha256": expected}), 409, "CONFLICT")
    assert client.post("/v1/files", json=FILE | {"expected_sha256": digest}).status_code == 201


def test_403_for_too_many_files(api_env: ApiEnv) -> None:
    api_env.tenant_env.table().write(Put(keys.counts(), {"files": FILES_MAX}, ANY))
    problem = assert_problem(api_env.sessions_as().post("/v1/files", json=FILE), 403, "QUOTA_EXCEEDED")
    assert (problem["limit"], problem["used"], problem["max"]) == ("files", FILES_MAX, FILES_MAX)
    assert api_env.tenant_env.blobs() == []


def test_400_for_a_cursor_of_another_list_or_tenant(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    for path in ("a/1", "a/2"):
        client.post("/v1/files", json=FILE | {"path": path})
    cursor = client.get("/v1/files", params={"limit": 1}).json()["next_cursor"]
    assert_problem(client.get("/v1/files", params={"cursor": cursor, "prefix": "a"}), 400, "INVALID_CURSOR")
    other = api_env.sessions_as(OTHER_TENANT)
    assert_problem(other.get("/v1/files", params={"cursor": cursor}), 400, "INVALID_CURSOR")


PATHS = ["", "/", "../x", "a/../b", "a//b", "a/", "./a", "a\\b", "a\nb", "a\u202eb", " a", "x" * 513, "é" * 501]
BODIES: list[object] = [
    *({"path": path, "content": "x"} for path in PATHS),
    {"path": "a"},
    {"content": "x"},
    FILE | {"content_base64": "eA=="},
    FILE | {"content": "é" * 350_001},
    FILE | {"content": 1},
    FILE | {"content_type": "text"},
    FILE | {"content_type": "text/plain\r\nx: y"},
    FILE | {"expected_sha256": "x"},
    FILE | {"created_by": "x"},
    {"path": "a", "content_base64": "e"},
    {"path": "a", "content_base64": "_-=="},
    {"path": "a", "content_base64": "eA==\n"},
    {"path": "a", "content_base64": "A" * 933_340},
]


def test_422_for_invalid_fields(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    for body in BODIES:
        assert_problem(client.post("/v1/files", json=body), 422, "VALIDATION_FAILED")
    for method, path, _, _ in CALLS[2:]:
        for given in PATHS:
            assert_problem(client.request(method, path, params={"path": given}), 422, "VALIDATION_FAILED")
        assert_problem(client.request(method, path), 422, "VALIDATION_FAILED")
    for query in ({"prefix": "x" * 513}, {"prefix": "\U0001f600" * 300}, {"limit": "0"}, {"page": "2"}):
        assert_problem(client.get("/v1/files", params=query), 422, "VALIDATION_FAILED")
    assert api_env.tenant_env.items("FILES") == []


def test_422_for_lines_of_a_file_that_is_not_text(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    client.post("/v1/files", json={"path": "a", "content_base64": "/w=="})
    for query in ({"offset": "1"}, {"limit": "1"}, {"offset": "0"}, {"limit": "5001"}):
        answer = client.get("/v1/files/content", params={"path": "a", **query})
        problem = assert_problem(answer, 422, "VALIDATION_FAILED")
        assert problem["errors"][0]["loc"] == ["query", *query]
