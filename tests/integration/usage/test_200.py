"""Successful calls of `GET /v1/usage`."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from atrium.llm.model import Usage
from starlette.testclient import TestClient

from functions.usage.app import build
from tests.builders.gateway import (
    KEY_ID,
    OTHER_TENANT_ID,
    TENANT_ID,
    LambdaContext,
    platform_fields,
    rest_event,
    tenant_fields,
)
from tests.builders.ledger import NOON, USER_ID, build_entry
from tests.builders.runtimes import build_runtime
from tests.integration.usage.conftest import UsageFunction

ZERO = {
    "requests": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "cache_read_tokens": 0,
    "cache_write_tokens": 0,
    "tool_calls": 0,
    "cost_usd": "0.000000",
    "own_key_cost_usd": "0.000000",
}


def test_no_usage_is_the_current_month_with_zeros(admin: TestClient) -> None:
    answer = admin.get("/v1/usage")
    assert answer.status_code == 200
    assert answer.json() == {"from": "2026-11-01", "to": "2026-11-21", "totals": ZERO, "data": [], "next_cursor": None}


def test_totals_are_those_of_the_settled_calls(function: UsageFunction, admin: TestClient) -> None:
    function.settle(
        build_entry(tokens=Usage(1, 2, 3, 4), tool_calls={"calculator": 2}, cost_nanos=1_500, own_key=True),
        build_entry(tokens=Usage(10, 20, 30, 40), cost_nanos=2_000_000_000, principal_id=USER_ID),
    )
    assert admin.get("/v1/usage").json()["totals"] == {
        "requests": 2,
        "input_tokens": 11,
        "output_tokens": 22,
        "cache_read_tokens": 33,
        "cache_write_tokens": 44,
        "tool_calls": 2,
        "cost_usd": "2.000002",
        "own_key_cost_usd": "0.000002",
    }


def test_rounding_comes_after_adding(function: UsageFunction, admin: TestClient) -> None:
    function.settle(*(build_entry(cost_nanos=499) for _ in range(3)))
    assert admin.get("/v1/usage").json()["totals"]["cost_usd"] == "0.000001"


def test_both_ends_of_the_period_are_in_it(function: UsageFunction, admin: TestClient) -> None:
    midnight = datetime(2026, 11, 10, tzinfo=UTC)
    for moment in (midnight - timedelta(milliseconds=1), midnight, midnight + timedelta(hours=47, minutes=59)):
        function.settle(build_entry(at=moment))
    function.settle(build_entry(at=midnight + timedelta(hours=48)))

    answer = admin.get("/v1/usage", params={"from": "2026-11-10", "to": "2026-11-11", "group_by": "day"}).json()
    assert (answer["from"], answer["to"], answer["totals"]["requests"]) == ("2026-11-10", "2026-11-11", 2)
    assert [(row["day"], row["requests"]) for row in answer["data"]] == [("2026-11-10", 1), ("2026-11-11", 1)]


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ({"from": "2026-11-05"}, "2026-11-05", "2026-11-21"),
        ({"to": "2026-03-07"}, "2026-03-01", "2026-03-07"),
        ({"from": "2026-12-24"}, "2026-12-24", "2026-12-24"),
        ({"from": "2025-11-21", "to": "2026-11-21"}, "2025-11-21", "2026-11-21"),
        ({"from": "2028-02-29", "to": "2028-02-29"}, "2028-02-29", "2028-02-29"),
    ],
)
def test_periods(admin: TestClient, query: dict[str, str], first: str, last: str) -> None:
    answer = admin.get("/v1/usage", params=query).json()
    assert (answer["from"], answer["to"]) == (first, last)


def test_a_whole_year_is_read(function: UsageFunction, admin: TestClient) -> None:
    function.settle(*(build_entry(at=NOON - timedelta(days=days)) for days in (0, 120, 240, 365)))
    answer = admin.get("/v1/usage", params={"from": "2025-11-21", "to": "2026-11-21"}).json()
    assert answer["totals"]["requests"] == 4


def test_without_admin_shows_the_callers_own_usage(function: UsageFunction) -> None:
    function.settle(build_entry(cost_nanos=1_000), build_entry(cost_nanos=5_000, principal_id=USER_ID))
    mine = function.call_as(tenant_fields(scopes="chat")).get("/v1/usage").json()["totals"]
    users = function.call_as(tenant_fields(scopes="chat", principal_type="user", principal_id=USER_ID, role="user"))

    assert (mine["requests"], mine["cost_usd"]) == (1, "0.000001")
    assert users.get("/v1/usage").json()["totals"]["cost_usd"] == "0.000005"


def test_another_tenant_sees_nothing_of_it(function: UsageFunction) -> None:
    function.settle(build_entry())
    other = function.call_as(tenant_fields(tenant_id=OTHER_TENANT_ID))
    assert other.get("/v1/usage").json()["totals"] == ZERO
    same_key_elsewhere = function.call_as(tenant_fields(tenant_id=OTHER_TENANT_ID, scopes="chat"))
    assert same_key_elsewhere.get("/v1/usage").json()["totals"] == ZERO


def test_the_platform_sees_the_tenant_that_it_names(function: UsageFunction) -> None:
    function.settle(build_entry())
    named = platform_fields(tenant_id=TENANT_ID, tenant_name="acme", plan="pro", config_version=1)
    assert function.call_as(named).get("/v1/usage").json()["totals"]["requests"] == 1


def test_the_handler_takes_the_gateways_event(function: UsageFunction) -> None:
    from atrium.http.handler import make_handler

    function.settle(build_entry())
    event = rest_event("GET", "/v1/usage", fields=tenant_fields(), query={"from": "2026-11-21"})
    answer = make_handler(build(build_runtime(table=function.table)))(event, LambdaContext())
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["totals"]["requests"] == 1
    assert KEY_ID not in answer["body"]
