"""Stores the data sets of a tenant: an item for each, and its SQLite image as a blob.

The blob is written before the item and deleted after it, so that an item always has its blob. A crash between the two
leaves a blob that nothing refers to; it is erased with the tenant.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from atrium.datasets.model import DATASETS_MAX, Column, Dataset
from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import Conflict, NotFound, Unavailable
from atrium.kernel.ids import DatasetId
from atrium.kernel.pagination import Page, PageRequest, read_all
from atrium.storage import keys
from atrium.storage.blobs import TenantBlobs
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import NEW, Delete, Put
from atrium.tenants.counts import counting, discounting, maximum_reached


@dataclass(frozen=True, slots=True)
class DatasetStore:
    """Reads and writes the data sets of one tenant."""

    table: TenantTable
    blobs: TenantBlobs

    def create(self, dataset: Dataset, image: bytes, record: Put) -> None:
        """Create a data set; raise `Conflict` if its name is in use, or `CountExceeded`."""
        self.blobs.put(_reference(dataset), image, content_type="application/vnd.sqlite3")
        own = Put(keys.dataset(dataset.name), _item(dataset), NEW)
        try:
            self.table.transact([own, counting("datasets", DATASETS_MAX), record])
        except TransactionRefused as error:
            with suppress(Unavailable):
                self.blobs.delete(_reference(dataset))
            if 0 in error.failed:
                raise Conflict("Another data set of the tenant has this name. Choose another name.") from error
            detail = f"a tenant may have at most {DATASETS_MAX} data sets; delete one first"
            raise maximum_reached("datasets", DATASETS_MAX, detail) from error

    def delete(self, dataset: Dataset, record: Put) -> None:
        own = Delete(keys.dataset(dataset.name), "#id = :id", {"id": dataset.id})
        try:
            self.table.transact([own, discounting("datasets"), record])
        except TransactionRefused as error:
            raise NotFound("Data set not found.") from error
        with suppress(Unavailable):  # the data set no longer exists; its blob is erased with the tenant
            self.blobs.delete(_reference(dataset))

    def list(self, page: PageRequest) -> Page[Dataset]:
        """List the tenant's data sets by name."""
        query = Query("", prefix=keys.DATASETS, limit=page.limit, position=page.position)
        return self.table.query(query).map(_read)

    def read_all(self) -> Sequence[Dataset]:
        """Return all data sets of the tenant, at most `DATASETS_MAX`, by name."""
        return list(read_all(self.list))

    def image(self, dataset: Dataset) -> bytes:
        """Return the SQLite image of a data set; raise `BlobGone` if it is being deleted."""
        return self.blobs.get(_reference(dataset))


def _reference(dataset: Dataset) -> str:
    return f"datasets/{dataset.id}"


def _item(dataset: Dataset) -> dict[str, Any]:
    return {
        "id": dataset.id,
        "name": dataset.name,
        "description": dataset.description or None,
        "format": dataset.format,
        "columns": [[column.name, column.type] for column in dataset.columns],
        "row_count": dataset.row_count,
        "bytes": dataset.bytes,
        "readers": list(dataset.readers),
        "created_at": format_time(dataset.created_at),
        "updated_at": format_time(dataset.updated_at),
    }


def _read(item: Mapping[str, Any]) -> Dataset:
    return Dataset(
        id=DatasetId(item["id"]),
        name=item["name"],
        description=item.get("description", ""),
        format=item["format"],
        columns=tuple(Column(name, type) for name, type in item["columns"]),
        row_count=item["row_count"],
        bytes=item["bytes"],
        readers=tuple(item["readers"]),
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
    )
