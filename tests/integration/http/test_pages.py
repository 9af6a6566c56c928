"""Paged lists: signed cursors that are valid for one list of one caller."""

import pytest
from starlette.testclient import TestClient

from tests.builders.gateway import KEY_ID, OTHER_TENANT_ID, Fields, call_as, platform_fields, tenant_fields
from tests.builders.runtimes import build_runtime
from tests.builders.things import build_things


@pytest.fixture
def client() -> TestClient:
    app, _ = build_things(build_runtime())
    return call_as(app, tenant_fields())


def numbers(client: TestClient, **query: str) -> tuple[list[int], str]:
    page = client.get("/v1/things", params=query).json()
    return [item["number"] for item in page["data"]], page["next_cursor"]


def test_pages_follow_each_other(client: TestClient) -> None:
    first, cursor = numbers(client, limit="2")
    second, _ = numbers(client, limit="3", cursor=cursor)
    assert (first, second) == ([1, 2], [3, 4, 5])


def test_twenty_by_default(client: TestClient) -> None:
    assert len(numbers(client)[0]) == 20


def test_an_invalid_cursor_is_400(client: TestClient) -> None:
    _, cursor = numbers(client)
    for made_up in ["", "x", "é", "AAAA", cursor[:-1], cursor + "A", cursor.swapcase(), "A" * 5000]:
        response = client.get("/v1/things", params={"cursor": made_up})
        assert (response.status_code, response.json()["code"]) == (400, "INVALID_CURSOR"), made_up


@pytest.mark.parametrize(
    "fields",
    [
        tenant_fields(tenant_id=OTHER_TENANT_ID),
        tenant_fields(principal_id=KEY_ID[:-1] + "x", scopes="sessions:read"),
        platform_fields(tenant_id=OTHER_TENANT_ID, tenant_name="b", plan="pro", config_version="1", features=""),
    ],
    ids=["tenant", "principal without admin", "platform in another tenant"],
)
def test_another_callers_cursor_is_400(client: TestClient, fields: Fields) -> None:
    _, cursor = numbers(client)
    app, _ = build_things(build_runtime())
    response = call_as(app, fields).get("/v1/things", params={"cursor": cursor})
    assert (response.status_code, response.json()["code"]) == (400, "INVALID_CURSOR")


def test_a_cursor_holds_for_its_filters(client: TestClient) -> None:
    _, cursor = numbers(client, name="a")
    assert client.get("/v1/things", params={"cursor": cursor, "name": "a"}).status_code == 200
    assert client.get("/v1/things", params={"cursor": cursor, "name": "b"}).status_code == 400
    assert client.get("/v1/things", params={"cursor": cursor}).status_code == 400
