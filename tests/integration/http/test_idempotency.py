"""`Idempotency-Key`: a call is executed once, and repeated calls return the same response."""

from __future__ import annotations

import asyncio
import base64
import random
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from atrium.kernel.errors import Conflict, ModelFailed, NotFound, RateLimited, SessionBusy, Unavailable
from atrium.storage.table import PhysicalTable
from httpx2 import Response
from starlette.testclient import TestClient

from tests.builders.gateway import KEY_ID, OTHER_TENANT_ID, platform_fields, tenant_fields
from tests.builders.wires import Send, intercepted
from tests.integration.http.conftest import Sample

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

THING = "thg_01k6r5m2x8f3v9q4w7t1y0z5ab"
OTHER_KEY_ID = KEY_ID.replace("5ad", "5ae")
DAY_SECONDS = timedelta(days=1).total_seconds()


def create(client: TestClient, *, key: str = "k1", name: str = "one") -> Response:
    return client.post("/v1/things", json={"name": name}, headers={"Idempotency-Key": key})


def stored(table: PhysicalTable) -> list[dict[str, AttributeValueTypeDef]]:
    return list(table.client.scan(TableName=table.name)["Items"])


def code_of(response: Response) -> str:
    return str(response.json()["code"])


def test_same_key_and_body_replays_the_answer(client: TestClient, sample: Sample) -> None:
    first, again = create(client), create(client)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert sample.things.executed == 1


def test_ignores_the_order_of_members(client: TestClient, sample: Sample) -> None:
    headers = {"Idempotency-Key": "k", "content-type": "application/json"}
    client.post("/v1/things", content='{"name": "a", "size": 2}', headers=headers)
    again = client.post("/v1/things", content='{"size":2,"name":"a"}', headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    assert sample.things.executed == 1


def test_without_key_each_call_is_executed_and_nothing_is_stored(
    client: TestClient, sample: Sample, physical_table: PhysicalTable
) -> None:
    client.post("/v1/things", json={"name": "one"})
    client.post("/v1/things", json={"name": "one"})
    assert sample.things.executed == 2
    assert stored(physical_table) == []


def test_another_body_is_422(client: TestClient, sample: Sample) -> None:
    create(client)
    refused = create(client, name="two")
    assert (refused.status_code, code_of(refused)) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert sample.things.executed == 1


def test_one_in_progress_is_409(client: TestClient, sample: Sample) -> None:
    inner: list[Response] = []
    sample.things.meddle = lambda: inner.append(create(client))
    assert create(client).status_code == 201
    assert (inner[0].status_code, code_of(inner[0])) == (409, "IDEMPOTENCY_IN_PROGRESS")
    assert inner[0].json()["retryable"] is True
    assert sample.things.executed == 1


def test_another_body_while_in_progress_is_422(client: TestClient, sample: Sample) -> None:
    inner: list[Response] = []
    sample.things.meddle = lambda: inner.append(create(client, name="two"))
    create(client)
    assert code_of(inner[0]) == "IDEMPOTENCY_KEY_REUSED"


def test_mark_ends_with_the_functions_deadline(sample: Sample) -> None:
    """A function that was killed cannot end its mark, so the mark ends at the function's deadline."""
    client = sample.call_as(tenant_fields(), remaining_ms=10_000)
    inner: list[Response] = []

    def die() -> None:
        sample.things.meddle = lambda: None
        sample.clock.advance(9.9)
        inner.append(create(client))
        sample.clock.advance(0.1)
        inner.append(create(client))

    sample.things.meddle = die
    overtaken = create(client)
    assert [response.status_code for response in inner] == [409, 201]
    assert overtaken.status_code == 201
    assert create(client).json() == inner[1].json(), "who overtook keeps the answer"


def test_answer_is_kept_for_24_hours(client: TestClient, sample: Sample) -> None:
    create(client)
    sample.clock.advance(DAY_SECONDS - 1)
    assert "idempotency-replayed" in create(client).headers
    sample.clock.advance(1)
    assert "idempotency-replayed" not in create(client).headers
    assert sample.things.executed == 2


@pytest.mark.parametrize(
    "fields",
    [tenant_fields(tenant_id=OTHER_TENANT_ID), tenant_fields(principal_id=OTHER_KEY_ID)],
    ids=["tenant", "principal"],
)
def test_scope_is_tenant_and_principal(client: TestClient, sample: Sample, fields: dict[str, str]) -> None:
    create(client)
    assert "idempotency-replayed" not in create(sample.call_as(fields)).headers
    assert sample.things.executed == 2


def test_scope_is_path(client: TestClient, sample: Sample) -> None:
    create(client)
    other = client.post("/v1/asynchronous", headers={"Idempotency-Key": "k1"})
    assert (other.status_code, other.json()["name"]) == (200, "asynchronous")


def test_asynchronous_endpoint_replays(client: TestClient, sample: Sample) -> None:
    answers = [client.post("/v1/asynchronous", headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert answers[0].json() == answers[1].json()
    assert sample.things.executed == 1


@pytest.mark.parametrize("path", ["/v1/things", "/v1/asynchronous"])
def test_no_call_of_the_table_holds_up_the_event_loop(
    client: TestClient, physical_table: PhysicalTable, path: str
) -> None:
    calls: list[str] = []

    def look(_operation: str, _arguments: object, send: Send) -> Any:
        calls.append("in a thread")
        with suppress(RuntimeError):  # raised without an event loop
            asyncio.get_running_loop()
            calls[-1] = "in the loop"
        return send()

    with intercepted(physical_table.client, look):
        client.post(path, json={"name": "x"} if path == "/v1/things" else None, headers={"Idempotency-Key": "k"})
    assert set(calls) == {"in a thread"}


def test_platform_call_is_kept_without_a_tenant(sample: Sample, physical_table: PhysicalTable) -> None:
    platform = sample.call_as(platform_fields())
    answers = [platform.post("/v1/platform", headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert [item["pk"] for item in stored(physical_table)] == [{"S": "PLATFORM#IDEMPOTENCY"}]


@pytest.mark.parametrize("failure", [NotFound(), Conflict("taken")], ids=lambda failure: failure.code)
def test_final_refusals_are_kept(client: TestClient, sample: Sample, failure: Exception) -> None:
    sample.things.fail_with(failure)
    first = create(client)
    sample.things.meddle = lambda: None
    again = create(client)
    assert again.content == first.content
    assert again.headers["content-type"] == "application/problem+json"
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    "failure",
    [RateLimited(), Unavailable(), ModelFailed(), SessionBusy(), RuntimeError("defect")],
    ids=lambda failure: type(failure).__name__,
)
def test_does_not_store_retryable_errors(
    client: TestClient, sample: Sample, physical_table: PhysicalTable, failure: Exception
) -> None:
    sample.things.fail_with(failure)
    assert create(client).status_code >= 409
    assert stored(physical_table) == []
    sample.things.meddle = lambda: None
    assert create(client).status_code == 201


@pytest.mark.parametrize(
    ("fields", "content", "status"),
    [
        (None, '{"name": "one"}', 401),
        (platform_fields(), '{"name": "one"}', 400),
        (tenant_fields(), '{"name": 1}', 422),
        (tenant_fields(), "{", 400),
        (tenant_fields(), '{"name": "\\ud800"}', 400),
    ],
    ids=["no credential", "no tenant", "invalid", "malformed", "surrogate"],
)
def test_a_rejected_call_writes_nothing(
    sample: Sample, physical_table: PhysicalTable, fields: dict[str, str] | None, content: str, status: int
) -> None:
    headers = {"Idempotency-Key": "k1", "content-type": "application/json"}
    assert sample.call_as(fields).post("/v1/things", content=content, headers=headers).status_code == status
    assert stored(physical_table) == []


def test_forbidden_after_the_mark_is_not_kept(
    client: TestClient, sample: Sample, physical_table: PhysicalTable
) -> None:
    body = {"name": "one", "tenant_id": OTHER_TENANT_ID}
    refused = client.post("/v1/things", json=body, headers={"Idempotency-Key": "k1"})
    assert (refused.status_code, code_of(refused)) == (403, "TENANT_MISMATCH")
    assert stored(physical_table) == []


@pytest.mark.parametrize(("key", "status"), [("k" * 255, 201), ("k" * 256, 422), ("", 422)])
def test_length_of_the_key(client: TestClient, key: str, status: int) -> None:
    assert create(client, key=key).status_code == status


def test_encrypts_and_replays_a_secret(client: TestClient, physical_table: PhysicalTable) -> None:
    answers = [client.post(f"/v1/things/{THING}/key", headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].json() == {"key": "secret 1"}
    assert answers[1].json() == {"key": "secret 1"}
    assert answers[1].headers["idempotency-replayed"] == "true"
    item = stored(physical_table)[0]
    assert item["saved"]["M"]["sealed"] == {"BOOL": True}
    assert "secret" not in str(item)


def test_an_encrypted_answer_needs_its_credential(client: TestClient, sample: Sample) -> None:
    client.post(f"/v1/things/{THING}/key", headers={"Idempotency-Key": "k"})
    headers = {"Idempotency-Key": "k", "authorization": "Bearer another"}
    refused = client.post(f"/v1/things/{THING}/key", headers=headers)
    assert (refused.status_code, code_of(refused)) == (409, "CONFLICT")
    assert sample.things.executed == 1


def test_a_key_in_either_header_is_one_credential(client: TestClient) -> None:
    client.headers["authorization"] = "Bearer atr_dev_abc"
    client.post(f"/v1/things/{THING}/key", headers={"Idempotency-Key": "k"})
    del client.headers["authorization"]
    again = client.post(f"/v1/things/{THING}/key", headers={"Idempotency-Key": "k", "x-api-key": "atr_dev_abc"})
    assert again.json() == {"key": "secret 1"}


def test_an_answer_too_large_to_keep_is_not_executed_twice(client: TestClient, sample: Sample) -> None:
    name = base64.b64encode(random.Random(1).randbytes(600_000)).decode()
    assert create(client, name=name).status_code == 201
    assert code_of(create(client, name=name)) == "CONFLICT"
    assert sample.things.executed == 1
