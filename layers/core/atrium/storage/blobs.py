"""Content too large for an item, in S3 under the tenant's own prefix. The item keeps a reference and a beginning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atrium.kernel.ids import TenantId, is_id
from atrium.storage.failures import translated

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

INLINE_BYTES_MAX = 32_000


class BlobGone(Exception):
    """There is no such blob; what referred to it is being removed."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A client and a bucket's name; worth nothing until it is bound to a tenant.

    `may_list` is false where the client's role may not list, so that S3 says 403 of an object that is gone.
    """

    client: S3Client
    name: str
    may_list: bool = True


class TenantBlobs:
    """One tenant's blobs; a reference is relative, so it cannot lead to another tenant's."""

    def __init__(self, bucket: Bucket, tenant_id: TenantId) -> None:
        if not is_id(tenant_id, "ten"):
            raise ValueError("not a tenant's id")
        self._bucket = bucket
        self._prefix = f"tenants/{tenant_id}/"

    def put(self, reference: str, content: bytes, *, content_type: str = "application/json") -> None:
        """Store content; the same reference again replaces it."""
        with translated():
            self._bucket.client.put_object(
                Bucket=self._bucket.name, Key=self._path(reference), Body=content, ContentType=content_type
            )

    def get(self, reference: str) -> bytes:
        """Return content; `BlobGone` if there is none."""
        path = self._path(reference)
        try:
            with translated():
                return self._bucket.client.get_object(Bucket=self._bucket.name, Key=path)["Body"].read()
        except ClientError as error:
            gone = {"NoSuchKey"} if self._bucket.may_list else {"NoSuchKey", "AccessDenied"}
            if error.response.get("Error", {}).get("Code") in gone:
                raise BlobGone(reference) from error
            raise

    def delete(self, reference: str) -> None:
        """Remove content; one that is gone already is no error."""
        with translated():
            self._bucket.client.delete_object(Bucket=self._bucket.name, Key=self._path(reference))

    def _path(self, reference: str) -> str:
        if ".." in reference or reference.startswith("/"):
            raise ValueError("a reference is a plain relative path")
        return self._prefix + reference
