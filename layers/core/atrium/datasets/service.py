"""Operations on data sets for one caller. A data set that the caller may not read does not exist for the caller."""

from collections.abc import Sequence
from dataclasses import dataclass

from atrium.audit.service import AuditService
from atrium.datasets.content import read_content
from atrium.datasets.model import Dataset, DatasetFormat, QueryResult
from atrium.datasets.store import DatasetStore
from atrium.kernel.clock import Clock
from atrium.kernel.errors import NotFound, invalid_field
from atrium.kernel.ids import mint_dataset_id
from atrium.kernel.pagination import Page, PageRequest
from atrium.storage.blobs import BlobGone
from atrium.storage.writes import Put
from atrium.tenants.context import TenantContext

RESULT_BYTES_MAX = 200_000


@dataclass(frozen=True, slots=True)
class DatasetService:
    """Data set operations for one caller. The routes check the caller's scopes."""

    context: TenantContext
    store: DatasetStore
    clock: Clock
    audit: AuditService

    def create(
        self, name: str, description: str, format: DatasetFormat, content: str, readers: Sequence[str]
    ) -> Dataset:
        """Create a data set; raise `ValidationFailed`, `Conflict` (name in use) or `CountExceeded`."""
        from atrium.datasets.image import build_image

        if name.startswith("sqlite_"):
            raise invalid_field("name", "must not begin with `sqlite_`")
        found, now = read_content(format, content), self.clock()
        dataset = Dataset(
            id=mint_dataset_id(now),
            name=name,
            description=description,
            format=format,
            columns=found.columns,
            row_count=found.row_count,
            bytes=len(content.encode()),
            readers=tuple(dict.fromkeys(readers)),
            created_at=now,
            updated_at=now,
        )
        if not dataset.may_read(self.context):
            own = f"{self.context.principal.type}:{self.context.principal.id}"
            raise invalid_field("readers", f"must be empty or contain the caller, such as `{own}`")
        self.store.create(dataset, build_image(name, found), self._record("dataset.create", dataset))
        return dataset

    def list(self, page: PageRequest) -> Page[Dataset]:
        """List the data sets that the caller may read. A page may have fewer items than its limit."""
        found = self.store.list(page)
        return Page([dataset for dataset in found.items if dataset.may_read(self.context)], found.position)

    def read_all(self) -> Sequence[Dataset]:
        """Return all data sets that the caller may read, by name."""
        return [dataset for dataset in self.store.read_all() if dataset.may_read(self.context)]

    def get(self, dataset_id: str) -> Dataset:
        for dataset in self.read_all():
            if dataset.id == dataset_id:
                return dataset
        raise NotFound("Data set not found.")

    def delete(self, dataset_id: str) -> None:
        dataset = self.get(dataset_id)
        self.store.delete(dataset, self._record("dataset.delete", dataset))

    def query(self, sql: str, bytes_max: int = RESULT_BYTES_MAX) -> QueryResult:
        """Return the result of a SELECT over the data sets that the caller may read, at most `bytes_max` as JSON.

        Raises `ValidationFailed`, which says what is wrong and what is allowed. Costs a query, a blob for each data set
        and a process.
        """
        from atrium.datasets.sandbox import execute  # sqlglot needs 130 ms
        from atrium.datasets.sql import find_tables

        readable = {dataset.name: dataset for dataset in self.read_all()}
        images: dict[str, bytes] = {}
        for name in find_tables(sql, readable):
            try:
                images[name] = self.store.image(readable[name])
            except BlobGone as error:
                raise invalid_field("sql", f"the table `{name}` was deleted; try again without it") from error
        return execute(sql, images, bytes_max)

    def _record(self, action: str, dataset: Dataset) -> Put:
        details = {
            "action": action,
            "resource": dataset.id,
            "name": dataset.name,
            "row_count": dataset.row_count,
            "readers": list(dataset.readers),
        }
        return self.audit.recording("admin.change", details)
