"""Stores the items of files, sorted by path. A transaction that creates or deletes a file also changes their number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atrium.files.model import FILES_MAX, File, FilePath
from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import CountExceeded
from atrium.kernel.ids import FileContentId
from atrium.kernel.pagination import Page, PageRequest
from atrium.storage import keys
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import NEW, Delete, Operation, Put
from atrium.tenants.counts import counting, discounting

_SAME = "#content_id = :before"


class FileChanged(Exception):
    """Another call created, changed or deleted the file after it was read."""


@dataclass(frozen=True, slots=True)
class FileStore:
    """Reads and writes the items of one tenant's files."""

    table: TenantTable

    def get(self, path: FilePath) -> File | None:
        item = self.table.get(keys.file(path))
        return _read(item) if item else None

    def list(self, prefix: str, page: PageRequest) -> Page[File]:
        """List the files whose path begins with `prefix`, sorted by the UTF-8 bytes of the path."""
        query = Query(keys.FILES, prefix=prefix, limit=page.limit, position=page.position)
        return self.table.query(query).map(_read)

    def put(self, file: File, before: File | None, records: Sequence[Put]) -> None:
        """Create a file, or replace the file `before`. Raise `FileChanged`, or `CountExceeded` at `FILES_MAX` files."""
        key, item = keys.file(file.path), _item(file)
        if before is None:
            self._transact([Put(key, item, NEW), counting("files", FILES_MAX), *records])
        else:
            self._transact([Put(key, item, _SAME, {"before": before.content_id}), *records])

    def delete(self, file: File, records: Sequence[Put]) -> None:
        """Delete a file. Raise `FileChanged`."""
        same = Delete(keys.file(file.path), _SAME, {"before": file.content_id})
        self._transact([same, discounting("files"), *records])

    def _transact(self, operations: Sequence[Operation]) -> None:
        try:
            self.table.transact(operations)
        except TransactionRefused as error:
            if 0 in error.failed:
                raise FileChanged from error
            raise CountExceeded(
                f"The tenant has {FILES_MAX} files, the maximum. Delete files first.",
                extensions={
                    "limit": "files",
                    "scope": "tenant",
                    "used": FILES_MAX,
                    "max": FILES_MAX,
                    "resets_at": None,
                },
            ) from error


def _item(file: File) -> dict[str, Any]:
    return {
        "path": file.path,
        "content_id": file.content_id,
        "content_type": file.content_type,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "created_by": file.created_by,
        "created_at": format_time(file.created_at),
        "updated_at": format_time(file.updated_at),
    }


def _read(item: Mapping[str, Any]) -> File:
    return File(
        path=FilePath(item["path"]),
        content_id=FileContentId(item["content_id"]),
        content_type=item["content_type"],
        size_bytes=item["size_bytes"],
        sha256=item["sha256"],
        created_by=item["created_by"],
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
    )
