"""Errors of the usage routes."""

import pytest
from atrium.storage.table import PhysicalTable
from starlette.testclient import TestClient

from tests.builders.gateway import OTHER_TENANT_ID, platform_fields, tenant_fields
from tests.builders.ledger import build_entry
from tests.builders.refusals import refusing
from tests.integration.usage.conftest import UsageFunction


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ({"from": "2026-11-31"}, ["query", "from"]),
        ({"from": "2026-11"}, ["query", "from"]),
        ({"from": "20261121"}, ["query", "from"]),
        ({"from": "2026-W47-6"}, ["query", "from"]),
        ({"from": "2026-11-21T00:00:00Z"}, ["query", "from"]),
        ({"from": ""}, ["query", "from"]),
        ({"to": "yesterday"}, ["query", "to"]),
        ({"to": "1795255200"}, ["query", "to"]),
        ({"from": "2026-11-21", "to": "2026-11-20"}, ["query", "from"]),
        ({"from": "2025-11-20", "to": "2026-11-21"}, ["query", "to"]),
        ({"from": "0001-01-01", "to": "9999-12-31"}, ["query", "to"]),
        ({"group_by": "mood"}, ["query", "group_by"]),
        ({"group_by": ""}, ["query", "group_by"]),
        ({"group_by": "model", "limit": "0"}, ["query", "limit"]),
        ({"group_by": "model", "limit": "367"}, ["query", "limit"]),
        ({"since": "2026-11-21"}, ["query", "since"]),
        ({"group_by": "session", "from": "2026-08-21"}, ["query", "from"]),
    ],
)
def test_rejects_invalid_periods(admin: TestClient, query: dict[str, str], location: list[str]) -> None:
    answer = admin.get("/v1/usage", params=query)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "VALIDATION_FAILED")
    assert [error["loc"] for error in problem["errors"]] == [location]


@pytest.mark.parametrize("group", ["model", "agent", "user", "client", "end_user", "session", "tool"])
def test_without_admin_others_usage_is_not_divided(function: UsageFunction, group: str) -> None:
    answer = function.call_as(tenant_fields(scopes="chat usage:read")).get("/v1/usage", params={"group_by": group})
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_REQUIRED")


def test_a_cursor_is_good_for_its_own_question_and_tenant_alone(function: UsageFunction, admin: TestClient) -> None:
    function.settle(build_entry(model="claude-haiku-5-5"), build_entry(model="claude-opus-5-5"))
    query = {"group_by": "model", "limit": "1"}
    cursor = admin.get("/v1/usage", params=query).json()["next_cursor"]
    other = function.call_as(tenant_fields(tenant_id=OTHER_TENANT_ID))
    tries = [
        (admin, {**query, "cursor": "made-up"}),
        (admin, {**query, "cursor": cursor, "group_by": "agent"}),
        (admin, {**query, "cursor": cursor, "from": "2026-11-01"}),
        (other, {**query, "cursor": cursor}),
    ]
    for client, asked in tries:
        answer = client.get("/v1/usage", params=asked)
        assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_CURSOR")


def test_without_a_context_there_is_no_answer(function: UsageFunction) -> None:
    assert function.call_as(None).get("/v1/usage").status_code == 401


def test_the_platform_must_name_a_tenant(function: UsageFunction) -> None:
    answer = function.call_as(platform_fields()).get("/v1/usage")
    assert (answer.status_code, answer.json()["code"]) == (400, "TENANT_REQUIRED")


def test_other_methods_are_not_allowed(admin: TestClient) -> None:
    answer = admin.post("/v1/usage")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_a_table_that_throttles_is_unavailable(admin: TestClient, physical_table: PhysicalTable) -> None:
    with refusing(physical_table, "BatchGetItem", "ThrottlingException"):
        answer = admin.get("/v1/usage")
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
