"""Stores content in S3, under the tenant's prefix, if it is too large for a table item.

The table item then contains only a reference to the blob.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import TenantId, is_id
from atrium.storage.table import translated

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

INLINE_BYTES_MAX = 32_000
TEMPORARY = "lifetime=30-days"
"""The tag of temporary blobs, as in the lifecycle rule of the template."""
ERASED_MAX = 1_000


class BlobGone(Exception):
    """The blob does not exist, because the item that refers to it is being deleted."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """An S3 client and the name of a bucket. Use it through `TenantBlobs`.

    `may_list` is false if the client's role may not list objects. In that case S3 returns 403 for a missing object.
    """

    client: S3Client
    name: str
    may_list: bool = True


@dataclass(frozen=True, slots=True)
class TenantBlobs:
    """Reads and writes one tenant's blobs. References are relative to the tenant's prefix.

    Blobs that are written with `are_temporary` are deleted after 30 days by a lifecycle rule of the bucket.
    """

    bucket: Bucket
    tenant_id: TenantId
    are_temporary: bool = False

    @property
    def _prefix(self) -> str:
        if not is_id(self.tenant_id, "ten"):
            raise ValueError("not a tenant id")
        return f"tenants/{self.tenant_id}/"

    def put(self, reference: str, content: bytes, *, content_type: str = "application/json") -> None:
        """Store the content of a blob. Existing content under the same reference is replaced."""
        tags: Any = {"Tagging": TEMPORARY} if self.are_temporary else {}
        with translated():
            self.bucket.client.put_object(
                Bucket=self.bucket.name, Key=self._path(reference), Body=content, ContentType=content_type, **tags
            )

    def get(self, reference: str) -> bytes:
        """Return the content of a blob; raise `BlobGone` if it does not exist."""
        path = self._path(reference)
        try:
            with translated():
                return self.bucket.client.get_object(Bucket=self.bucket.name, Key=path)["Body"].read()
        except ClientError as error:
            gone = {"NoSuchKey"} if self.bucket.may_list else {"NoSuchKey", "AccessDenied"}
            if error.response.get("Error", {}).get("Code") in gone:
                raise BlobGone(reference) from error
            raise

    def delete(self, reference: str) -> None:
        """Delete a blob. Idempotent."""
        with translated():
            self.bucket.client.delete_object(Bucket=self.bucket.name, Key=self._path(reference))

    def erase_some(self) -> tuple[int, bool]:
        """Delete up to `ERASED_MAX` object versions and delete markers of the tenant.

        Returns the number of deleted versions and markers, and whether the prefix is now empty. Costs at most two S3
        calls. Raises `Unavailable` if S3 could not delete some versions; the other versions are deleted.
        """
        client, name = self.bucket.client, self.bucket.name
        with translated():
            page = client.list_object_versions(Bucket=name, Prefix=self._prefix, MaxKeys=ERASED_MAX)
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if not found:
                return 0, True
            objects: Any = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
            answer = client.delete_objects(Bucket=name, Delete={"Objects": objects, "Quiet": True})
        if errors := answer.get("Errors", []):
            codes = sorted({str(each.get("Code")) for each in errors})
            raise Unavailable(internal=f"{len(errors)} blobs could not be deleted: {codes}", retry_after_seconds=1)
        return len(found), not page.get("IsTruncated", False)

    def _path(self, reference: str) -> str:
        if ".." in reference or reference.startswith("/"):
            raise ValueError("a reference must be a relative path without ..")
        return self._prefix + reference
