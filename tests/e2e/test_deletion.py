"""A tenant with data is deleted over HTTP. The sweeper of the running stack erases the data from table and bucket."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from atrium.kernel.clock import format_time
from atrium.kernel.ids import TenantId
from atrium.storage.blobs import Bucket, TenantBlobs
from atrium.storage.table import PhysicalTable

from infra.runtime.resources import Endpoint
from tests.builders.erasing import Erasing, assert_erased
from tests.builders.runtimes import TurnedClock
from tests.e2e.conftest import Stack, Tenant
from tests.e2e.limited import PASSWORD, Limited, made_tenant
from tests.e2e.stream import start_and_leave
from tests.e2e.waiting import wait_for

pytestmark = pytest.mark.slow


@contextmanager
def storage_of(stack: Stack) -> Iterator[Erasing]:
    """Yield the stack's table and bucket."""
    endpoint = Endpoint(stack.description["endpoint_url"])
    dynamodb, s3 = endpoint.client("dynamodb"), endpoint.client("s3")
    (bucket,) = [each["Name"] for each in s3.list_buckets()["Buckets"] if "blobs" in each["Name"]]
    yield Erasing(PhysicalTable(dynamodb, stack.description["table"]), Bucket(s3, bucket), TurnedClock())
    for client in (dynamodb, s3):
        client.close()


def post(http: httpx.Client, path: str, **body: Any) -> Any:
    answer = http.post(path, json=body, headers={"idempotency-key": f"{path} {len(body)}"})
    assert answer.status_code in {200, 201, 202}, answer.text
    return answer.json()


def fill(stack: Stack, tenant: Limited, name: str) -> None:
    """Create one resource of each kind in a tenant, and a turn that is still running."""
    post(tenant.http, "/v1/users", email=f"ann@{name}", role="user", password=PASSWORD)
    post(tenant.http, "/v1/keys", name="key", limits={"requests_per_minute": 9})
    post(tenant.http, "/v1/clients", name="client", type="confidential", grant_types=["client_credentials"])
    post(tenant.http, "/v1/agents", name="agent", model="claude-haiku-5-5")
    post(tenant.http, "/v1/identity-providers", issuer=f"https://login.{name}/", audience="https://atrium.example/")
    post(tenant.http, "/v1/sessions", title="session")
    every = ["*"]
    post(
        tenant.http, "/v1/policies", name="all", effect="allow", principals=["tenant:*"], actions=every, resources=every
    )
    login = {"email": f"ann@{name}", "tenant": tenant.id}
    with httpx.Client(base_url=stack.base_url, timeout=300) as anybody:
        assert anybody.post("/v1/auth/login", json={**login, "password": PASSWORD}).status_code == 200
        assert anybody.post("/v1/auth/login", json={**login, "password": "a wrong one"}).status_code == 401
    assert tenant.say("What time is it?").status_code == 200
    assert tenant.say("And now?").status_code == 200
    start_and_leave(tenant.http, "[[slow=1]] [[pieces=100]] I go on.", after=4)


def test_a_tenant_is_erased(stack: Stack, pro: Tenant) -> None:
    pro.chat("I stay.")
    with storage_of(stack) as storage, made_tenant(stack) as tenant:
        fill(stack, tenant, f"{tenant.id[-12:]}.example")
        # HTTP does not accept a message that is large enough to be stored in the bucket.
        for each in (tenant.id, pro.id):
            TenantBlobs(storage.bucket, TenantId(each)).put("runs/r/question", b"text")
        assert len(storage.items_about(tenant.id)) > 40
        assert [blob for blob in storage.blobs() if tenant.id in blob]
        others = {place: item for place, item in storage.items_about(pro.id).items() if "#SESSION#" in place[0]}
        path = f"/v1/tenants/{tenant.id}"
        assert tenant.operator.delete(path).status_code == 204
        assert tenant.operator.get(path).status_code == 404

        def progress() -> dict[str, Any]:
            found: dict[str, Any] = tenant.operator.get(f"{path}/deletion").json()
            return found

        def first_pass() -> bool:
            now = progress()
            return bool(now["items_erased"]) and now["phase"] is None

        wait_for(first_pass, 240, "the first pass")
        assert progress()["status"] == "deleting"
        _let_time_pass(storage, tenant.id)
        wait_for(lambda: progress()["status"] == "deleted", 150, "the last pass")
        totals = assert_erased(storage, TenantId(tenant.id))
        done = progress()
        kept = [int(item["requests"]["N"]) for item in totals.values()]
        assert [month["requests"] for month in done["months"]] == kept
        assert sum(month["requests"] for month in done["months"]) == 3
        assert done["deleted_by"].startswith("platform:key_")
        refused = tenant.http.get("/v1/limits")
        assert (refused.status_code, refused.json()["code"]) == (403, "TENANT_INACTIVE")
        assert [blob for blob in storage.blobs() if pro.id in blob]
        left = storage.items_about(pro.id)
        assert {place: left[place] for place in others} == others
    assert pro.chat("I am still here.")["response"]


def _let_time_pass(storage: Erasing, tenant_id: str) -> None:
    """Set the deletion time to one hour ago, so that the test does not wait for the last pass."""
    storage.physical.client.update_item(
        TableName=storage.physical.name,
        Key={"pk": {"S": f"TENANT#{tenant_id}"}, "sk": {"S": "TENANT"}},
        UpdateExpression="SET deleted_at = :then",
        ExpressionAttributeValues={":then": {"S": format_time(datetime.now(UTC) - timedelta(hours=1))}},
    )
