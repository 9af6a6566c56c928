"""A data set, its columns, and the rule who may read it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from atrium.kernel.ids import DatasetId
from atrium.policy.guard import subject_of
from atrium.tenants.context import TenantContext

type DatasetFormat = Literal["csv", "jsonl"]
type ColumnType = Literal["integer", "number", "text", "boolean"]
type Scalar = str | int | float | bool | None

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
READER_PATTERN = r"^(role:(admin|user|viewer)|(user:usr|key:key|client:cli)_[0-9a-z]{26,52})$"
DATASETS_MAX = 50
READERS_MAX = 50
SQL_LENGTH_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a data set. Values of every type may be null."""

    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set. `name` is the name of its table. `bytes` is the size of the uploaded content."""

    id: DatasetId
    name: str
    description: str
    format: DatasetFormat
    columns: tuple[Column, ...]
    row_count: int
    bytes: int
    readers: tuple[str, ...]
    created_at: datetime
    updated_at: datetime

    def may_read(self, context: TenantContext) -> bool:
        """Return whether a caller may read the data set: an administrator, a reader, or anyone if it has no readers."""
        if not self.readers or context.principal.sees_all:
            return True
        return not subject_of(context.tenant_id, context.principal).isdisjoint(self.readers)


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The first rows of a query's result. `truncated` is true if there are more."""

    columns: list[str]
    rows: list[list[Scalar]]
    truncated: bool
