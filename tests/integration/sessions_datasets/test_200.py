"""Successful calls of the data set routes: create, list, read, query and delete, and who may read what."""

from collections.abc import Iterable

import pytest
from starlette.testclient import TestClient

from tests.builders.api_env import ADMIN, ApiEnv, assert_problem
from tests.builders.datasets import ORDERS
from tests.builders.gateway import OTHER_TENANT_ID, tenant_fields
from tests.builders.tenant_env import OTHER_OWNER

pytestmark = pytest.mark.loopback

BODY = {"name": "orders", "format": "csv", "content": ORDERS}
USER = tenant_fields(principal_type="user", principal_id=OTHER_OWNER, role="user", scopes="agents:read")


def create(client: TestClient, name: str = "orders", readers: Iterable[str] = (), content: str = ORDERS) -> str:
    body = {"name": name, "format": "csv", "content": content, "readers": list(readers)}
    response = client.post("/v1/datasets", json=body)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def test_a_data_set_is_created_listed_and_read(api_env: ApiEnv) -> None:
    client = api_env.sessions_as(ADMIN)
    response = client.post("/v1/datasets", json={**BODY, "description": "Orders of a week"})
    assert response.status_code == 201, response.text
    made = response.json()
    assert {name: value for name, value in made.items() if name not in {"id", "created_at", "updated_at"}} == {
        "name": "orders",
        "description": "Orders of a week",
        "format": "csv",
        "columns": [
            {"name": "city", "type": "text"},
            {"name": "amount", "type": "number"},
            {"name": "paid", "type": "boolean"},
        ],
        "row_count": 3,
        "bytes": len(ORDERS),
        "readers": [],
    }
    assert response.headers["location"] == f"/v1/datasets/{made['id']}"
    assert client.get(response.headers["location"]).json() == made
    assert client.get("/v1/datasets").json() == {"data": [made], "next_cursor": None}
    assert [event.details["action"] for event in api_env.events("admin.change")] == ["dataset.create"]


def test_a_query_returns_columns_and_rows(api_env: ApiEnv) -> None:
    client = api_env.sessions_as(ADMIN)
    create(client)
    lines = '{"city": "Rome", "country": "Italy"}\n{"city": "Oslo", "country": null}\n'
    client.post("/v1/datasets", json={"name": "places", "format": "jsonl", "content": lines})
    sql = "SELECT country, sum(amount) AS total FROM orders JOIN places USING (city) GROUP BY country ORDER BY total"
    response = client.post("/v1/datasets/query", json={"sql": sql})
    assert response.json() == {
        "columns": ["country", "total"],
        "rows": [[None, 80.0], ["Italy", 140.0]],
        "truncated": False,
    }


def test_a_query_is_replayed_for_its_idempotency_key(api_env: ApiEnv) -> None:
    client = api_env.sessions_as(ADMIN)
    content = "a\n" + "".join(f"{'x' * 180} {number}\n" for number in range(900))
    dataset_id = create(client, "wide", content=content)
    query = {"sql": "SELECT * FROM wide"}
    first = client.post("/v1/datasets/query", json=query, headers={"idempotency-key": "one"})
    assert len(first.json()["rows"]) == 900
    client.delete(f"/v1/datasets/{dataset_id}")
    again = client.post("/v1/datasets/query", json=query, headers={"idempotency-key": "one"})
    assert (again.status_code, again.json()) == (200, first.json())


def test_a_deleted_data_set_leaves_no_rows_and_frees_its_name(api_env: ApiEnv) -> None:
    client = api_env.sessions_as(ADMIN)
    dataset_id = create(client)
    blobs = api_env.tenant_env.bucket
    assert blobs.client.list_objects_v2(Bucket=blobs.name)["KeyCount"] == 1
    assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    assert blobs.client.list_objects_v2(Bucket=blobs.name)["KeyCount"] == 0
    assert_problem(client.get(f"/v1/datasets/{dataset_id}"), 404, "NOT_FOUND")
    assert_problem(client.delete(f"/v1/datasets/{dataset_id}"), 404, "NOT_FOUND")
    assert create(client) != dataset_id
    actions = [str(event.details["action"]) for event in api_env.events("admin.change")]
    assert sorted(actions) == ["dataset.create", "dataset.create", "dataset.delete"]


@pytest.mark.parametrize("readers", [["role:viewer"], [f"user:{OTHER_OWNER[:-1]}z"], [f"key:{ADMIN['principal_id']}"]])
def test_a_data_set_exists_only_for_its_readers_and_administrators(api_env: ApiEnv, readers: list[str]) -> None:
    admin, user = api_env.sessions_as(ADMIN), api_env.sessions_as(USER)
    hidden, shown = create(admin, "hidden", readers), create(admin, "shown", ["role:user", *readers])
    assert [each["id"] for each in user.get("/v1/datasets").json()["data"]] == [shown]
    assert [each["id"] for each in admin.get("/v1/datasets").json()["data"]] == [hidden, shown]
    assert_problem(user.get(f"/v1/datasets/{hidden}"), 404, "NOT_FOUND")
    problem = assert_problem(
        user.post("/v1/datasets/query", json={"sql": "SELECT * FROM hidden"}), 422, "VALIDATION_FAILED"
    )
    assert problem["detail"] == "`sql`: unknown table `hidden`; the tables are `shown`"
    assert user.post("/v1/datasets/query", json={"sql": "SELECT count(*) FROM shown"}).json()["rows"] == [[3]]
    writer = api_env.sessions_as({**USER, "scopes": "agents:read agents:write"})
    assert_problem(writer.delete(f"/v1/datasets/{hidden}"), 404, "NOT_FOUND")
    assert admin.post("/v1/datasets/query", json={"sql": "SELECT count(*) FROM hidden"}).json()["rows"] == [[3]]


def test_other_tenants_have_other_data_sets(api_env: ApiEnv) -> None:
    ours = api_env.sessions_as(ADMIN)
    theirs = api_env.sessions_as({**ADMIN, "tenant_id": OTHER_TENANT_ID})
    dataset_id = create(ours)
    assert theirs.get("/v1/datasets").json()["data"] == []
    assert_problem(theirs.get(f"/v1/datasets/{dataset_id}"), 404, "NOT_FOUND")
    response = theirs.post("/v1/datasets/query", json={"sql": "SELECT * FROM orders"})
    problem = assert_problem(response, 422, "VALIDATION_FAILED")
    assert problem["detail"] == "`sql`: unknown table `orders`; there are no data sets that you may read"
    create(theirs, content="n\n7\n")
    assert theirs.post("/v1/datasets/query", json={"sql": "SELECT * FROM orders"}).json()["rows"] == [[7]]
    assert ours.post("/v1/datasets/query", json={"sql": "SELECT count(*) FROM orders"}).json()["rows"] == [[3]]


def test_lists_in_pages(api_env: ApiEnv) -> None:
    client = api_env.sessions_as(ADMIN)
    for name in ("c", "a", "b"):
        create(client, name)
    first = client.get("/v1/datasets", params={"limit": 2}).json()
    rest = client.get("/v1/datasets", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [each["name"] for each in [*first["data"], *rest["data"]]] == ["a", "b", "c"]
    assert rest["next_cursor"] is None


def test_the_scopes_of_agents_permit_the_routes(api_env: ApiEnv) -> None:
    reader = api_env.sessions_as(tenant_fields(scopes="agents:read"))
    writer = api_env.sessions_as(tenant_fields(scopes="agents:write"))
    dataset_id = create(writer)
    assert reader.get("/v1/datasets").status_code == reader.get(f"/v1/datasets/{dataset_id}").status_code == 200
    assert reader.post("/v1/datasets/query", json={"sql": "SELECT 1"}).status_code == 200
    for response in (
        reader.post("/v1/datasets", json=BODY),
        reader.delete(f"/v1/datasets/{dataset_id}"),
        writer.get("/v1/datasets"),
        writer.post("/v1/datasets/query", json={"sql": "SELECT 1"}),
    ):
        assert_problem(response, 403, "SCOPE_REQUIRED")
    assert writer.delete(f"/v1/datasets/{dataset_id}").status_code == 204
