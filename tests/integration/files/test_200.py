"""Successful calls of the file routes, and a turn whose tools use the same files."""

import base64
import json
from hashlib import sha256

import pytest

from tests.builders.api_env import OTHER_PRINCIPAL, OWN, ApiEnv, say
from tests.builders.gateway import tenant_fields

pytestmark = pytest.mark.loopback

PATH = "Menüs/june #1.md"
TEXT = "# Menu\n\nSoup\n"


def test_a_file_is_written_read_listed_and_deleted(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    written = client.post("/v1/files", json={"path": "/" + PATH, "content": TEXT, "content_type": "text/markdown"})
    assert written.status_code == 201, written.text
    file = written.json()
    assert {name: file[name] for name in file if name not in {"created_at", "updated_at"}} == {
        "path": PATH,
        "size_bytes": len(TEXT),
        "content_type": "text/markdown",
        "sha256": sha256(TEXT.encode()).hexdigest(),
        "created_by": OWN["principal_id"],
    }
    content = {"content": TEXT, "content_base64": None, "total_lines": None, "next_offset": None}
    assert client.get(written.headers["location"]).json() == file | content
    assert client.get("/v1/files").json() == {"data": [file], "next_cursor": None}
    assert client.delete("/v1/files", params={"path": PATH}).status_code == 204
    assert client.get("/v1/files").json()["data"] == []
    assert api_env.tenant_env.blobs() == []


def test_binary_content_is_returned_in_base64(api_env: ApiEnv) -> None:
    client, data = api_env.sessions_as(), bytes(range(256))
    body = {"path": "data.bin", "content_base64": base64.b64encode(data).decode()}
    assert client.post("/v1/files", json=body).json()["content_type"] == "application/octet-stream"
    answer = client.get("/v1/files/content", params={"path": "data.bin"}).json()
    assert (answer["content"], base64.b64decode(answer["content_base64"])) == (None, data)


def test_the_largest_file_is_written_and_read(api_env: ApiEnv) -> None:
    client, data = api_env.sessions_as(), b"\xff" * 700_000
    body = {"path": "large", "content_base64": base64.b64encode(data).decode()}
    assert client.post("/v1/files", json=body).status_code == 201
    answer = client.get("/v1/files/content", params={"path": "large"}).json()
    assert base64.b64decode(answer["content_base64"]) == data


def test_lines_are_numbered(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    client.post("/v1/files", json={"path": PATH, "content": TEXT})
    for lines, content, following in (
        ({"offset": 1, "limit": 2}, "1\t# Menu\n2\t", 3),
        ({"limit": 1}, "1\t# Menu", 2),
        ({"offset": 2}, "2\t\n3\tSoup", None),
    ):
        answer = client.get("/v1/files/content", params={"path": PATH, **lines}).json()
        assert (answer["content"], answer["total_lines"], answer["next_offset"]) == (content, 3, following)


def test_lists_by_prefix_in_pages(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    for path in ("b/2", "a/2", "a/1", "a/3"):
        assert client.post("/v1/files", json={"path": path, "content": ""}).status_code == 201
    first = client.get("/v1/files", params={"prefix": "/a/", "limit": 2}).json()
    rest = client.get("/v1/files", params={"prefix": "/a/", "cursor": first["next_cursor"]}).json()
    assert [file["path"] for file in first["data"] + rest["data"]] == ["a/1", "a/2", "a/3"]
    assert rest["next_cursor"] is None


def test_all_principals_of_the_tenant_share_the_files(api_env: ApiEnv) -> None:
    api_env.sessions_as().post("/v1/files", json={"path": PATH, "content": TEXT})
    other = api_env.sessions_as(OTHER_PRINCIPAL)
    answer = other.post("/v1/files", json={"path": PATH, "content": "new"}).json()
    assert answer["created_by"] == OWN["principal_id"]
    viewer = api_env.sessions_as(tenant_fields(principal_type="user", role="viewer", scopes="sessions:read"))
    assert viewer.get("/v1/files/content", params={"path": PATH}).json()["content"] == "new"


def test_changes_are_audited_without_the_content(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    client.post("/v1/files", json={"path": PATH, "content": "planted"})
    client.delete("/v1/files", params={"path": PATH})
    deleted, written = api_env.events("admin.change")
    assert [each.details["action"] for each in (written, deleted)] == ["file.write", "file.delete"]
    assert (written.details["resource"], written.details["size_bytes"]) == (PATH, 7)
    assert "planted" not in str(written.details)


def test_the_tools_of_a_turn_use_the_same_files(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    agent = {"name": "clerk", "model": "claude-haiku-5-5", "tools": ["file_write", "file_read"], "is_default": True}
    assert api_env.admin_as().post("/v1/agents", json=agent).status_code == 201
    arguments = json.dumps({"path": "notes/todo.txt", "content": "Soup\n"})
    assert say(api_env.chat_as(), f"[[tool=file_write {arguments}]]").status_code == 200
    answer = client.get("/v1/files/content", params={"path": "notes/todo.txt"}).json()
    assert (answer["content"], answer["created_by"]) == ("Soup\n", OWN["principal_id"])
    assert api_env.events("admin.change")[0].details["action"] == "agent.create"
    assert api_env.events("tool.call")[0].details["tool"] == "file_write"
