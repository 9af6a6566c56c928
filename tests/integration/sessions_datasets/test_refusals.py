"""Errors of the data set routes: status and code. A rejected call writes nothing."""

from typing import Any

import pytest
from atrium.datasets.model import DATASETS_MAX
from atrium.storage import keys
from atrium.storage.writes import ANY, Put

from tests.builders.api_env import ADMIN, ApiEnv, assert_problem
from tests.builders.gateway import platform_fields, tenant_fields

pytestmark = pytest.mark.loopback

BODY = {"name": "orders", "format": "csv", "content": "a\n1\n"}
DATASET = "dts_01k6r5m2x8f3v9q4w7t1y0z5ab"


def kept(api_env: ApiEnv) -> tuple[Any, int]:
    """Return the items of the table, and the number of blobs."""
    bucket = api_env.tenant_env.bucket
    return api_env.tenant_env.items(), bucket.client.list_objects_v2(Bucket=bucket.name)["KeyCount"]


def test_every_route_requires_credential_tenant_and_scope(api_env: ApiEnv) -> None:
    before = kept(api_env)
    for fields, status, code in (
        (None, 401, "UNAUTHENTICATED"),
        (platform_fields(), 400, "TENANT_REQUIRED"),
        (tenant_fields(scopes="chat"), 403, "SCOPE_REQUIRED"),
    ):
        client = api_env.sessions_as(fields)
        for method, path, body in (
            ("GET", "/v1/datasets", None),
            ("POST", "/v1/datasets", BODY),
            ("POST", "/v1/datasets/query", {"sql": "SELECT 1"}),
            ("GET", f"/v1/datasets/{DATASET}", None),
            ("DELETE", f"/v1/datasets/{DATASET}", None),
        ):
            assert_problem(client.request(method, path, json=body), status, code)
    assert kept(api_env) == before


@pytest.mark.parametrize("path", [f"/v1/datasets/{DATASET}", "/v1/datasets/orders"])
def test_404_for_an_unknown_id(api_env: ApiEnv, path: str) -> None:
    client = api_env.sessions_as(ADMIN)
    for method in ("GET", "DELETE"):
        assert_problem(client.request(method, path), 404, "NOT_FOUND")


def test_409_for_a_name_that_is_in_use(api_env: ApiEnv) -> None:
    client = api_env.sessions_as(ADMIN)
    assert client.post("/v1/datasets", json=BODY).status_code == 201
    before = kept(api_env)
    assert_problem(client.post("/v1/datasets", json=BODY), 409, "CONFLICT")
    assert kept(api_env) == before


def test_403_for_too_many_data_sets(api_env: ApiEnv) -> None:
    client = api_env.sessions_as(ADMIN)
    api_env.tenant_env.table().write(Put(keys.counts(), {"datasets": DATASETS_MAX - 1}, ANY))
    dataset_id = client.post("/v1/datasets", json=BODY).json()["id"]
    before = kept(api_env)
    problem = assert_problem(client.post("/v1/datasets", json={**BODY, "name": "more"}), 403, "QUOTA_EXCEEDED")
    assert (problem["limit"], problem["max"]) == ("datasets", DATASETS_MAX)
    assert kept(api_env) == before
    client.delete(f"/v1/datasets/{dataset_id}")
    assert client.post("/v1/datasets", json=BODY).status_code == 201


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Orders"}, "name"),
        ({"name": "1st"}, "name"),
        ({"name": "a-b"}, "name"),
        ({"name": "a" * 64}, "name"),
        ({"name": "sqlite_orders"}, "name"),
        ({"name": ""}, "name"),
        ({"format": "sqlite"}, "format"),
        ({"content": ""}, "content"),
        ({"content": "a,b\n1\n"}, "content"),
        ({"content": "SQLite format 3\0"}, "content"),
        ({"format": "jsonl", "content": "a\n1\n"}, "content"),
        ({"description": "x" * 1_001}, "description"),
        ({"readers": ["*"]}, "readers"),
        ({"readers": ["tenant:ten_01k6r5m2x8f3v9q4w7t1y0z5ab"]}, "readers"),
        ({"readers": ["user:key_01k6r5m2x8f3v9q4w7t1y0z5ab"]}, "readers"),
        ({"readers": ["role:owner"]}, "readers"),
        ({"readers": ["role:user"] * 51}, "readers"),
        ({"owner": "x"}, "owner"),
    ],
)
def test_422_for_an_invalid_data_set(api_env: ApiEnv, change: dict[str, Any], field: str) -> None:
    before = kept(api_env)
    problem = assert_problem(
        api_env.sessions_as(ADMIN).post("/v1/datasets", json=BODY | change), 422, "VALIDATION_FAILED"
    )
    assert field in problem["errors"][0]["loc"]
    assert kept(api_env) == before


def test_422_for_readers_without_the_caller(api_env: ApiEnv) -> None:
    client = api_env.sessions_as(tenant_fields(scopes="agents:write"))
    problem = assert_problem(
        client.post("/v1/datasets", json={**BODY, "readers": ["role:viewer"]}), 422, "VALIDATION_FAILED"
    )
    own = problem["detail"].partition("such as `")[2].rstrip("`")
    assert client.post("/v1/datasets", json={**BODY, "readers": ["role:viewer", own]}).status_code == 201


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "x" * 10_001,
        "DROP TABLE orders",
        "SELECT 1; SELECT 2",
        "SELECT * FROM unknown",
        "SELECT load_extension('x')",
    ],
)
def test_422_for_a_query_that_is_not_allowed(api_env: ApiEnv, sql: str) -> None:
    response = api_env.sessions_as(ADMIN).post("/v1/datasets/query", json={"sql": sql})
    problem = assert_problem(response, 422, "VALIDATION_FAILED")
    assert problem["errors"][0]["loc"] == ["body", "sql"]


def test_422_for_a_data_set_that_is_being_deleted(api_env: ApiEnv) -> None:
    client, bucket = api_env.sessions_as(ADMIN), api_env.tenant_env.bucket
    client.post("/v1/datasets", json=BODY)
    (blob,) = bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]
    bucket.client.delete_object(Bucket=bucket.name, Key=blob["Key"])
    problem = assert_problem(
        client.post("/v1/datasets/query", json={"sql": "SELECT * FROM orders"}), 422, "VALIDATION_FAILED"
    )
    assert "was deleted" in problem["detail"]
