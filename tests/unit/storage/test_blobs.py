"""Blobs belong to a tenant, and their references are relative to the tenant's prefix."""

import pytest
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import TenantId
from atrium.storage.blobs import BlobGone, Bucket, TenantBlobs
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from tests.builders.tenant_env import OTHER_TENANT, TENANT, TenantEnv, open_bucket


@pytest.fixture
def blobs(tenant_env: TenantEnv) -> TenantBlobs:
    return TenantBlobs(tenant_env.bucket, TENANT)


def test_put_replaces_and_delete_is_repeatable(blobs: TenantBlobs) -> None:
    blobs.put("runs/1", b"one")
    blobs.put("runs/1", b"two")
    assert blobs.get("runs/1") == b"two"
    blobs.delete("runs/1")
    blobs.delete("runs/1")
    with pytest.raises(BlobGone):
        blobs.get("runs/1")


def test_another_tenants_blob_is_not_found(blobs: TenantBlobs, tenant_env: TenantEnv) -> None:
    blobs.put("runs/1", b"one")
    other = TenantBlobs(tenant_env.bucket, OTHER_TENANT)
    other.delete("runs/1")
    with pytest.raises(BlobGone):
        other.get("runs/1")
    assert tenant_env.blobs() == [f"tenants/{TENANT}/runs/1"]


@pytest.mark.parametrize("reference", ["../x", "/etc", "runs/../../ten/x"])
def test_a_reference_cannot_leave_the_tenants_prefix(blobs: TenantBlobs, reference: str) -> None:
    with pytest.raises(ValueError, match="relative path"):
        blobs.put(reference, b"")


@pytest.mark.parametrize("tenant", ["", "acme", f"{TENANT}/../x"])
def test_every_call_requires_a_tenant_id(tenant_env: TenantEnv, tenant: str) -> None:
    blobs = TenantBlobs(tenant_env.bucket, TenantId(tenant))
    calls = (lambda: blobs.get("x"), lambda: blobs.put("x", b""), lambda: blobs.delete("x"), blobs.erase_some)
    for call in calls:
        with pytest.raises(ValueError, match="not a tenant id"):
            call()


def test_a_bucket_that_is_slow_is_unavailable(blobs: TenantBlobs, tenant_env: TenantEnv) -> None:
    with Stubber(tenant_env.bucket.client) as stub:
        stub.add_client_error("put_object", "SlowDown", http_status_code=503)
        with pytest.raises(Unavailable):
            blobs.put("runs/1", b"")


@pytest.mark.parametrize("may_list", [True, False])
def test_403_means_missing_only_without_list_permission(tenant_env: TenantEnv, may_list: bool) -> None:
    blobs = TenantBlobs(Bucket(tenant_env.bucket.client, tenant_env.bucket.name, may_list=may_list), TENANT)
    with Stubber(tenant_env.bucket.client) as stub:
        stub.add_client_error("get_object", "AccessDenied", http_status_code=403)
        with pytest.raises(ClientError if may_list else BlobGone):
            blobs.get("runs/1")


def test_starts_with_an_empty_bucket() -> None:
    with open_bucket(on_moto=True) as bucket:
        assert bucket.client.list_objects_v2(Bucket=bucket.name)["KeyCount"] == 0
