"""The rate limit of reads and administration: headers on every response, and 429 above the limit.

The rate limit makes no calls to the table.
"""

from collections.abc import Iterator

import pytest
from atrium.http import guarding
from atrium.http.guarding import ReadLimits
from atrium.kernel.ids import TenantId
from starlette.testclient import TestClient

from tests.builders.gateway import OTHER_TENANT_ID, TENANT_ID, platform_fields, tenant_fields
from tests.integration.http.conftest import Sample

POLICY = '"reads_per_minute";q=30;w=60'


@pytest.fixture(autouse=True)
def low() -> Iterator[None]:
    """A rate limit that a test can reach: 30 calls per minute, which is one call every two seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guarding, "READS_PER_MINUTE", dict.fromkeys(guarding.READS_PER_MINUTE, 30))
        yield


def use_up(client: TestClient) -> None:
    for left in range(29, -1, -1):
        answer = client.get("/v1/things")
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"] == POLICY
        assert answer.headers["ratelimit"] == f'"reads_per_minute";r={left};t={(30 - left) * 2}'


def test_rejects_calls_beyond_the_limit_until_retry_after(sample: Sample, client: TestClient) -> None:
    use_up(client)
    refused = client.get("/v1/things")
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["limit"]) == (429, "RATE_LIMITED", "reads_per_minute")
    assert (problem["used"], problem["max"], problem["scope"], problem["retryable"]) == (30, 30, "tenant", True)
    assert (refused.headers["retry-after"], refused.headers["ratelimit-policy"]) == ("2", POLICY)
    assert problem["resets_at"] is not None
    sample.clock.advance(1.9)
    assert client.get("/v1/things").status_code == 429
    sample.clock.advance(0.2)
    assert client.get("/v1/things").status_code == 200
    assert client.get("/v1/things").status_code == 429


def test_limits_tenants_separately(sample: Sample, client: TestClient) -> None:
    use_up(client)
    assert client.get("/v1/things").status_code == 429
    assert sample.call_as(tenant_fields(tenant_id=OTHER_TENANT_ID)).get("/v1/things").status_code == 200


def test_keys_of_a_tenant_share_the_limit(sample: Sample, client: TestClient) -> None:
    use_up(client)
    other = sample.call_as(tenant_fields(principal_id="key_01k6r5m2x8f3v9q4w7t1y0z5ae"))
    assert other.get("/v1/things").status_code == 429


def test_does_not_limit_the_operator(sample: Sample) -> None:
    inside = sample.call_as(platform_fields(tenant_id=TENANT_ID, tenant_name="acme", plan="free", config_version=1))
    for _ in range(40):
        answer = inside.get("/v1/things")
        assert (answer.status_code, "ratelimit" in answer.headers) == (200, False)


def test_a_rejected_call_has_the_headers(client: TestClient) -> None:
    answer = client.get("/v1/things", params={"limit": "x"})
    assert (answer.status_code, answer.headers["ratelimit-policy"]) == (422, POLICY)


def test_a_clock_that_goes_back_adds_no_calls() -> None:
    bucket, tenant = ReadLimits(), TenantId(TENANT_ID)
    assert all(bucket.take(tenant, 3, 100.0).passed for _ in range(3))
    assert not bucket.take(tenant, 3, 40.0).passed
    assert not bucket.take(tenant, 3, 100.0).passed
    assert bucket.take(tenant, 3, 120.0).passed


def test_a_changed_plan_keeps_the_bucket_within_limits() -> None:
    bucket, tenant = ReadLimits(), TenantId(TENANT_ID)
    assert bucket.take(tenant, 60, 0.0).left == 59
    assert bucket.take(tenant, 3, 0.0).left == 2
    assert bucket.take(tenant, 60, 0.0).left == 1


def test_memory_is_bounded() -> None:
    bucket = ReadLimits()
    for number in range(10_050):
        bucket.take(TenantId(f"ten_{number}"), 3, 0.0)
    assert len(bucket._buckets) == 10_000
    assert bucket.take(TenantId("ten_10049"), 3, 0.0).left == 1
