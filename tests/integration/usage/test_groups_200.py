"""Usage grouped by caller, agent, model, tool and session, in pages."""

from datetime import timedelta
from typing import Any

import pytest
from atrium.kernel.ids import TenantId, mint_session_id
from atrium.sessions.store import SessionStore
from atrium.storage.table import TenantTable
from atrium.usage.shared import NAMES_MAX
from starlette.testclient import TestClient

from tests.builders.gateway import KEY_ID, OTHER_TENANT_ID, TENANT_ID, tenant_fields
from tests.builders.ledger import AGENT_ID, NOON, SESSION_ID, USER_ID, build_entry
from tests.integration.usage.conftest import UsageFunction

CLIENT_ID = "cli_01k6r5m2x8f3v9q4w7t1y0z5ag"
OTHER_AGENT_ID = "agt_01k6r5m2x8f3v9q4w7t1y0z5ah"
YESTERDAY = NOON - timedelta(days=1)
GROUPS = ["model", "agent", "user", "key", "client", "end_user", "session", "tool"]


def rows(client: TestClient, group: str, **query: str) -> list[tuple[str, int, str]]:
    answer = client.get("/v1/usage", params={"group_by": group, **query})
    assert answer.status_code == 200, answer.text
    assert answer.json()["next_cursor"] is None
    return [(row[group], row["requests"], row["cost_usd"]) for row in answer.json()["data"]]


@pytest.fixture
def used(function: UsageFunction) -> UsageFunction:
    function.settle(
        build_entry(cost_nanos=1_000, end_user="ann#1", tool_calls={"calculator": 2}),
        build_entry(cost_nanos=2_000, at=YESTERDAY, end_user="bob"),
        build_entry(cost_nanos=4_000, principal_id=USER_ID, model="claude-opus-5-5", agent_id=OTHER_AGENT_ID),
        build_entry(cost_nanos=8_000, principal_id=CLIENT_ID, tool_calls={"calculator": 1, "current_time": 1}),
    )
    return function


def test_each_group_has_a_row_for_each_value(used: UsageFunction, admin: TestClient) -> None:
    assert rows(admin, "model") == [("claude-haiku-5-5", 3, "0.000011"), ("claude-opus-5-5", 1, "0.000004")]
    assert rows(admin, "agent") == [(AGENT_ID, 3, "0.000011"), (OTHER_AGENT_ID, 1, "0.000004")]
    assert rows(admin, "user") == [(USER_ID, 1, "0.000004")]
    assert rows(admin, "key") == [(KEY_ID, 2, "0.000003")]
    assert rows(admin, "client") == [(CLIENT_ID, 1, "0.000008")]
    assert rows(admin, "end_user") == [("ann#1", 1, "0.000001"), ("bob", 1, "0.000002")]


def test_tools_have_calls_alone(used: UsageFunction, admin: TestClient) -> None:
    data = admin.get("/v1/usage", params={"group_by": "tool"}).json()["data"]
    assert [(row["tool"], row["requests"], row["tool_calls"]) for row in data] == [
        ("calculator", 2, 3),
        ("current_time", 1, 1),
    ]
    assert {(row["cost_usd"], row["input_tokens"]) for row in data} == {("0.000000", 0)}


@pytest.mark.parametrize("group", ["day", *GROUPS])
def test_totals_are_the_whole_periods_whatever_the_rows(used: UsageFunction, admin: TestClient, group: str) -> None:
    used.talk(SESSION_ID, NOON, cost_nanos=0)
    answer = admin.get("/v1/usage", params={"group_by": group, "limit": "1"}).json()
    assert (answer["totals"]["requests"], answer["totals"]["cost_usd"]) == (5, "0.000015")
    assert len(answer["data"]) == 1


def test_rows_are_of_the_period_alone(used: UsageFunction, admin: TestClient) -> None:
    assert rows(admin, "key", **{"from": "2026-11-20", "to": "2026-11-20"}) == [(KEY_ID, 1, "0.000002")]
    assert rows(admin, "key", **{"from": "2026-10-01", "to": "2026-10-31"}) == []


@pytest.mark.parametrize("group", GROUPS)
def test_another_tenant_sees_no_row_of_it(used: UsageFunction, group: str) -> None:
    assert rows(used.call_as(tenant_fields(tenant_id=OTHER_TENANT_ID)), group) == []


def read_pages(client: TestClient, **query: str) -> list[list[dict[str, Any]]]:
    pages, cursor = [], ""
    for _ in range(20):
        answer = client.get("/v1/usage", params={**query, **({"cursor": cursor} if cursor else {})}).json()
        pages.append(answer["data"])
        cursor = answer["next_cursor"]
        if cursor is None:
            return pages
    raise AssertionError("the pages do not end")


def test_many_sessions_come_in_pages_each_once_and_whole(function: UsageFunction, admin: TestClient) -> None:
    """The least recently active session is first. Sessions without usage in the period are omitted."""
    days = {3: [0, 1], 1: [1], 2: [0], 5: [2], 4: [0, 1, 2]}
    sessions = {number: mint_session_id(NOON - timedelta(days=5)) for number in days}
    turns = sorted((-day, number) for number, each in days.items() for day in each)
    for at, (day, number) in enumerate(turns):
        function.talk(sessions[number], NOON + timedelta(days=day, seconds=at), cost_nanos=1_000)
    period = {"from": "2026-11-20", "to": "2026-11-21"}
    pages = read_pages(admin, group_by="session", limit="3", **period)
    assert [(row["session"], row["requests"], row["cost_usd"]) for page in pages for row in page] == [
        (sessions[number], requests, f"0.00000{requests}") for number, requests in [(1, 1), (2, 1), (3, 2), (4, 2)]
    ]
    assert {len(page) for page in pages} <= {1, 2, 3}


def test_a_deleted_session_is_in_totals_alone(used: UsageFunction, admin: TestClient) -> None:
    session = mint_session_id(NOON)
    used.talk(session, NOON, cost_nanos=5_000)
    assert rows(admin, "session") == [(session, 1, "0.000005")]
    SessionStore(TenantTable(used.table, TenantId(TENANT_ID))).mark_deleted(session, now=NOON)
    assert rows(admin, "session") == []
    assert admin.get("/v1/usage").json()["totals"]["requests"] == 5


@pytest.mark.parametrize("group", ["model", "agent", "tool"])
def test_names_beyond_the_shared_item_come_in_pages_each_once(
    function: UsageFunction, admin: TestClient, group: str
) -> None:
    """Two batches have more names than the shared item can contain, and some names are in both."""
    for first in (0, 20):
        function.settle(
            *(
                build_entry(
                    model=f"m-{number:03}",
                    agent_id=f"agt_{number:026}",
                    tool_calls={f"tool_{number:03}": 1},
                    at=NOON - timedelta(days=number % 2),
                    cost_nanos=1_000,
                )
                for number in range(first, first + 2 * NAMES_MAX)
            )
        )
    pages = read_pages(admin, group_by=group, limit="30")
    found = [(row[group], row["tool_calls"]) for page in pages for row in page]
    total = 2 * NAMES_MAX + 20
    assert len(found) == total
    assert [name for name, _ in found] == sorted(name for name, _ in found)
    assert [calls for _, calls in found] == [1 + (20 <= number < 2 * NAMES_MAX) for number in range(total)]


def test_days_come_in_pages_too(used: UsageFunction, admin: TestClient) -> None:
    pages = read_pages(admin, group_by="day", limit="1")
    assert [[row["day"] for row in page] for page in pages] == [["2026-11-20"], ["2026-11-21"]]


def test_a_cursor_keeps_the_period_that_it_began_with(used: UsageFunction, admin: TestClient) -> None:
    first = admin.get("/v1/usage", params={"group_by": "agent", "limit": "1"}).json()
    second = admin.get("/v1/usage", params={"group_by": "agent", "limit": "1", "cursor": first["next_cursor"]}).json()
    assert (second["from"], second["to"]) == (first["from"], first["to"])
    assert [row["agent"] for row in second["data"]] == [OTHER_AGENT_ID]


def test_without_admin_the_only_row_is_the_caller(used: UsageFunction) -> None:
    key = used.call_as(tenant_fields(scopes="chat"))
    user = used.call_as(tenant_fields(scopes="chat", principal_type="user", principal_id=USER_ID, role="user"))
    client = used.call_as(tenant_fields(scopes="chat", principal_type="client", principal_id=CLIENT_ID))
    assert rows(key, "key") == [(KEY_ID, 2, "0.000003")]
    assert rows(user, "user") == [(USER_ID, 1, "0.000004")]
    assert rows(client, "client") == [(CLIENT_ID, 1, "0.000008")]
    assert rows(key, "key", **{"from": "2026-10-01", "to": "2026-10-31"}) == []


def test_without_admin_others_of_ones_kind_are_not_seen(used: UsageFunction) -> None:
    used.settle(build_entry(principal_id="usr_01k6r5m2x8f3v9q4w7t1y0z5ax", cost_nanos=16_000))
    own = {"principal_type": "user", "principal_id": USER_ID, "role": "user", "scopes": "usage:read"}
    assert rows(used.call_as(tenant_fields(**own)), "user") == [(USER_ID, 1, "0.000004")]
