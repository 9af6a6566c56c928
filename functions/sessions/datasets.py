"""`/v1/datasets`: a tenant's data sets, and SQL queries over them."""

from typing import Annotated

from atrium.bootstrap import Runtime
from atrium.datasets.model import (
    NAME_PATTERN,
    READER_PATTERN,
    READERS_MAX,
    SQL_LENGTH_MAX,
    ColumnType,
    Dataset,
    DatasetFormat,
    Scalar,
)
from atrium.datasets.service import DatasetService
from atrium.datasets.store import DatasetStore
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.fields import OrNone
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import ListOf, StrictModel, id_pattern
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.kernel.clock import format_time
from atrium.kernel.errors import named_pattern
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from fastapi import APIRouter, Path, Response
from pydantic import Field

router = APIRouter(tags=["data sets"], route_class=IdempotentRoute)
DatasetPath = Annotated[str, Path(pattern=id_pattern("dts"), description="Id of the data set, `dts_…`")]
_READ, _WRITE = [require("agents:read")], [require("agents:write")]
_NAME = named_pattern(NAME_PATTERN, "must be 1 to 63 lower-case letters, digits and `_`, and begin with a letter")
_READER = named_pattern(READER_PATTERN, "must be `role:{name}`, `user:{id}`, `key:{id}` or `client:{id}`")
Reader = Annotated[str, Field(pattern=_READER)]


class DatasetBody(StrictModel):
    """A data set to create. Its columns and their types are inferred from the content."""

    name: Annotated[str, Field(pattern=_NAME)]
    """Unique name of the data set in the tenant, and name of its table: 1 to 63 lower-case letters, digits and `_`,
    beginning with a letter and not with `sqlite_`.
    """
    description: OrNone[Annotated[str, Field(max_length=1_000)]] = None
    """What the data set contains, for people and models, at most 1,000 characters. Null or absent: no description."""
    format: DatasetFormat
    """Format of `content`: `csv` (comma-separated, with a header) or `jsonl` (one JSON object per line)."""
    content: Annotated[str, Field(min_length=1, max_length=1_000_000)]
    """The rows, at most 50,000, with at most 100 columns. At most 1,000,000 characters, and 1 MiB
    for the whole request including JSON escapes.
    """
    readers: Annotated[list[Reader], Field(max_length=READERS_MAX)] = Field(default_factory=list)
    """Who may read the data set besides administrators: at most 50 of `role:{name}`, `user:{id}`, `key:{id}` and
    `client:{id}`. Default: empty, which means everyone in the tenant.
    """


class ColumnAnswer(StrictModel):
    """A column of a data set."""

    name: str
    """Name of the column."""
    type: ColumnType
    """Type of its values: `integer`, `number`, `text` or `boolean` (1 and 0 in SQL). Values may be null."""


class DatasetAnswer(StrictModel):
    """A data set of the tenant: its name, columns and readers, without its rows."""

    id: str
    """Id of the data set."""
    name: str
    """Unique name of the data set in the tenant, and name of its table."""
    description: str | None
    """What the data set contains. Null if there is no description."""
    format: DatasetFormat
    """Format in which the data set was uploaded: `csv` or `jsonl`."""
    columns: list[ColumnAnswer]
    """The columns, in the order of the content."""
    row_count: int
    """Number of rows."""
    bytes: int
    """Size of the uploaded content in bytes."""
    readers: list[str]
    """Who may read the data set besides administrators. Empty: everyone in the tenant."""
    created_at: str
    """When the data set was created (RFC 3339, UTC)."""
    updated_at: str
    """When the data set was last changed (RFC 3339, UTC)."""


class QueryBody(StrictModel):
    """A query over the data sets that the caller may read."""

    sql: Annotated[str, Field(min_length=1, max_length=SQL_LENGTH_MAX)]
    """One SELECT statement in the dialect of SQLite, at most 10,000 characters. It may begin with WITH."""


class QueryAnswer(StrictModel):
    """The result of a query."""

    columns: list[str]
    """Names of the result's columns. Names may be equal."""
    rows: list[list[Scalar]]
    """The first rows, at most 1,000 and at most 200,000 bytes of JSON."""
    truncated: bool
    """Whether the result has more rows."""


def _service(runtime: Runtime, tenant: TenantContext) -> DatasetService:
    table, blobs = runtime.tenant_table(tenant.tenant_id), runtime.tenant_blobs(tenant.tenant_id)
    audit = open_audit(tenant, table, runtime.clock)
    return DatasetService(tenant, DatasetStore(table, blobs), runtime.clock, audit)


@router.get("/v1/datasets", dependencies=_READ)
def list_datasets(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[DatasetAnswer]:
    """List data sets.

    Returns the data sets that the caller may read, by name. A page may have fewer items than `limit`.
    """
    scope = list_scope(tenant, "datasets")
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(_render), runtime.cursors, scope=scope)


@router.post("/v1/datasets", status_code=201, dependencies=_WRITE, responses=problem_responses(403, 409))
def create_dataset(
    body: DatasetBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> DatasetAnswer:
    """Create a data set.

    Returns 422 with the line that is wrong if the content is not valid, 409 if another data set of the tenant has
    this name, and 403 `QUOTA_EXCEEDED` if the tenant has 50 data sets.
    """
    service = _service(runtime, tenant)
    dataset = service.create(body.name, body.description or "", body.format, body.content, body.readers)
    response.headers["Location"] = f"{base_url}/v1/datasets/{dataset.id}"
    return _render(dataset)


@router.post("/v1/datasets/query", dependencies=_READ)
def query_datasets(body: QueryBody, tenant: TenantDep, runtime: RuntimeDep) -> QueryAnswer:
    """Query data sets.

    Executes one read-only SELECT over the data sets that the caller may read. Returns 422 if the statement is not
    allowed, names another table, or needs more time or memory than a query may use.
    """
    found = _service(runtime, tenant).query(body.sql)
    return QueryAnswer(columns=found.columns, rows=found.rows, truncated=found.truncated)


@router.get("/v1/datasets/{dataset_id}", dependencies=_READ, responses=problem_responses(404))
def get_dataset(dataset_id: DatasetPath, tenant: TenantDep, runtime: RuntimeDep) -> DatasetAnswer:
    """Get a data set.

    Returns 404 if the id does not exist in the tenant, or if the caller may not read the data set.
    """
    return _render(_service(runtime, tenant).get(dataset_id))


@router.delete("/v1/datasets/{dataset_id}", status_code=204, dependencies=_WRITE, responses=problem_responses(404))
def delete_dataset(dataset_id: DatasetPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete a data set.

    Deletes the data set and its rows. Its name can be used again.
    """
    _service(runtime, tenant).delete(dataset_id)


def _render(dataset: Dataset) -> DatasetAnswer:
    return DatasetAnswer(
        id=dataset.id,
        name=dataset.name,
        description=dataset.description or None,
        format=dataset.format,
        columns=[ColumnAnswer(name=column.name, type=column.type) for column in dataset.columns],
        row_count=dataset.row_count,
        bytes=dataset.bytes,
        readers=list(dataset.readers),
        created_at=format_time(dataset.created_at),
        updated_at=format_time(dataset.updated_at),
    )
