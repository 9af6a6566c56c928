"""The tools `dataset_list` and `sql_query`: the tenant's data sets that the caller may read, and queries over them."""

from typing import Annotated, Any

from pydantic import Field

from atrium.datasets.model import SQL_LENGTH_MAX
from atrium.datasets.service import DatasetService
from atrium.datasets.store import DatasetStore
from atrium.kernel.errors import Unavailable, ValidationFailed
from atrium.tenants.auditing import open_audit
from atrium.tools.declaration import tool
from atrium.tools.model import ToolContext, ToolRetry

RESULT_BYTES_MAX = 40_000
"""Maximum size of a result, which is below the maximum of a tool result, so that its JSON is never cut."""


def _open(context: ToolContext) -> DatasetService:
    services = context.require_services()
    audit = open_audit(services.caller, services.table, context.clock)
    return DatasetService(services.caller, DatasetStore(services.table, services.blobs), context.clock, audit)


def _list(context: ToolContext) -> list[dict[str, Any]]:
    return [
        {
            "table": dataset.name,
            "description": dataset.description,
            "columns": {column.name: column.type for column in dataset.columns},
            "row_count": dataset.row_count,
        }
        for dataset in _open(context).read_all()
    ]


def _query(
    sql: Annotated[
        str,
        Field(min_length=1, max_length=SQL_LENGTH_MAX, description="One SELECT statement of SQLite."),
    ],
    context: ToolContext,
) -> dict[str, Any]:
    try:
        found = _open(context).query(sql, RESULT_BYTES_MAX)
    except (ValidationFailed, Unavailable) as error:
        raise ToolRetry(error.detail) from error
    return {"columns": found.columns, "rows": found.rows, "truncated": found.truncated}


DATASET_LIST = tool(
    "List the tables that sql_query can read, with their columns.", name="dataset_list", category="data", effect="pure"
)(_list)
SQL_QUERY = tool(
    "Query the tables of dataset_list with one SELECT statement. Returns the first rows. Filter and aggregate "
    "in SQL instead of reading many rows.",
    name="sql_query",
    category="data",
    effect="pure",
)(_query)
