"""`GET /v1/audit`: events by type, principal and time, in pages and as files."""

import csv
import io
import json
from typing import Any

import pytest

from functions.platform.app import build as build_platform
from tests.builders.api_env import ADMIN, ApiEnv, assert_problem
from tests.builders.gateway import KEY_ID, OTHER_TENANT_ID, TENANT_ID, call_as, platform_fields, tenant_fields

pytestmark = pytest.mark.loopback

POLICY = {"name": "p", "effect": "deny", "principals": ["role:user"], "actions": ["*"], "resources": ["tool:*"]}
ADMIN_ID = str(ADMIN["principal_id"])
POET = {"name": "poet", "model": "claude-haiku-5-5"}


def told(api_env: ApiEnv, **query: str) -> list[dict[str, Any]]:
    answer = api_env.admin_as().get("/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def change_things(api_env: ApiEnv) -> None:
    """Make four changes in sequence."""
    client = api_env.admin_as()
    agent = client.post("/v1/agents", json=POET).json()["id"]
    client.patch(f"/v1/agents/{agent}", json={"description": "4111111111111111"})
    client.delete(f"/v1/agents/{agent}")
    client.post("/v1/policies", json=POLICY)


def test_lists_changes_newest_first_in_pages(api_env: ApiEnv) -> None:
    change_things(api_env)
    events = told(api_env)
    assert [event["details"]["action"] for event in events] == [
        "policy.create", "agent.delete", "agent.change", "agent.create",
    ]  # fmt: skip
    newest = events[0]
    assert (newest["type"], newest["principal"], newest["count"]) == ("admin.change", f"key:{ADMIN_ID}", 1)
    assert newest["ip"] == "203.0.113.7"
    assert "4111" not in json.dumps(events)
    client = api_env.admin_as()
    page = client.get("/v1/audit?limit=3").json()
    rest = client.get("/v1/audit", params={"limit": 3, "cursor": page["next_cursor"]}).json()
    assert page["data"] + rest["data"] == events
    answer = client.get("/v1/audit", params={"cursor": page["next_cursor"], "type": "tool.call"})
    assert_problem(answer, 400, "INVALID_CURSOR")


def test_filters_events(api_env: ApiEnv) -> None:
    change_things(api_env)
    moment = told(api_env)[0]["time"]
    assert len(told(api_env, type="admin.change")) == 4
    assert told(api_env, type="tool.call") == []
    assert len(told(api_env, user_id=ADMIN_ID)) == 4
    assert told(api_env, user_id="usr_01k6r5m2x8f3v9q4w7t1y0z5aa") == []
    assert told(api_env, session_id="ses_1") == told(api_env, tool="calculator") == []
    assert len(told(api_env, **{"from": moment})) == 1
    assert len(told(api_env, to=moment)) == 3


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_exports_files(api_env: ApiEnv, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change_things(api_env)
    events = told(api_env)
    answer = api_env.admin_as().get("/v1/audit", params={"format": form})
    assert answer.headers["content-disposition"] == f'attachment; filename="audit-2026-11-21.{form}"'
    assert "link" not in answer.headers
    if form == "jsonl":
        assert answer.headers["content-type"] == "application/jsonl"
        assert [json.loads(line) for line in answer.text.splitlines()] == events
    else:
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [row["time"] for row in rows] == [event["time"] for event in events]
        assert json.loads(rows[0]["details"]) == events[0]["details"]
    monkeypatch.setattr("atrium.audit.export.EVENTS_A_READ", 3)
    monkeypatch.setattr("atrium.audit.export.BYTES_ENOUGH", 1)
    first = api_env.admin_as(stage_prefix="/dev").get("/v1/audit", params={"format": form})
    link = first.headers["link"]
    assert link.startswith("</dev/v1/audit?format=")
    assert link.endswith('>; rel="next"')
    second = api_env.admin_as(stage_prefix="/dev").get(link[len("</dev") : link.index(">")])
    assert first.text + second.text == answer.text


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ({"type": "nothing"}, ["query", "type"]),
        ({"user_id": "x"}, ["query", "user_id"]),
        ({"from": "yesterday"}, ["query", "from"]),
        ({"to": "2026-11-21"}, ["query", "to"]),
        ({"from": "2026-11-21T00:00:00Z", "to": "2026-11-20T00:00:00Z"}, ["query", "from"]),
        ({"from": "2020-11-21T00:00:00Z"}, ["query", "from"]),
        ({"format": "xml"}, ["query", "format"]),
        ({"unknown": "1"}, ["query", "unknown"]),
    ],
)
def test_422_for_invalid_queries(api_env: ApiEnv, query: dict[str, str], location: list[str]) -> None:
    problem = assert_problem(api_env.admin_as().get("/v1/audit", params=query), 422, "VALIDATION_FAILED")
    assert [error["loc"] for error in problem["errors"]] == [location]


def test_requires_admin_of_the_tenant(api_env: ApiEnv) -> None:
    change_things(api_env)
    for fields, status, code in (
        (None, 401, "UNAUTHENTICATED"),
        (platform_fields(), 400, "TENANT_REQUIRED"),
        (tenant_fields(scopes="chat sessions:read usage:read agents:write"), 403, "SCOPE_REQUIRED"),
    ):
        assert_problem(api_env.admin_as(fields).get("/v1/audit"), status, code)
    other = api_env.admin_as(tenant_fields(tenant_id=OTHER_TENANT_ID))
    assert other.get("/v1/audit").json() == {"data": [], "next_cursor": None}


def test_does_not_record_a_rejected_change(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    (default,) = client.get("/v1/agents").json()["data"]
    assert_problem(client.delete(f"/v1/agents/{default['id']}"), 409, "CONFLICT")
    assert_problem(client.post("/v1/agents", json={**POET, "name": default["name"]}), 409, "CONFLICT")
    assert told(api_env) == []


def test_records_the_operators_changes_of_a_tenant(api_env: ApiEnv) -> None:
    operator = call_as(build_platform(api_env.holder), platform_fields())
    made = operator.post("/v1/tenants", json={"name": "new", "plan": "pro"}).json()
    path = f"/v1/tenants/{made['id']}"
    assert operator.post(f"{path}/suspend", json={"reason": "unpaid"}).status_code == 200
    assert operator.post(f"{path}/activate").status_code == 200
    assert operator.patch(path, json={"plan": "free"}).status_code == 200
    assert operator.patch(path, json={"name": "newer"}).status_code == 200
    events = api_env.admin_as(tenant_fields(tenant_id=made["id"])).get("/v1/audit?type=admin.change").json()["data"]
    assert [event["details"]["action"] for event in reversed(events)] == [
        "tenant.create", "tenant.suspend", "tenant.activate", "tenant.plan", "tenant.change",
    ]  # fmt: skip
    assert events[0]["principal"] == f"platform:{KEY_ID}"
    assert events[-2]["details"]["reason"] == "unpaid"
    assert api_env.admin_as(tenant_fields(tenant_id=TENANT_ID)).get("/v1/audit").json()["data"] == []
