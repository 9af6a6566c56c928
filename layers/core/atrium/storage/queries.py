"""Queries of one partition, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from atrium.kernel.pagination import LIMIT_DEFAULT, Position
from atrium.storage.items import Wire
from atrium.storage.writes import expression_arguments

type Index = Literal["gsi1", "gsi2"]


@dataclass(frozen=True, slots=True)
class Query:
    """One page of a partition, of the table or of an index.

    Sort keys: `prefix` keeps those that begin with it, `after` those greater (exclusive), `between` those in the range
    (inclusive). `where` filters after the read: a page may be shorter than `limit` and still have a next one.
    """

    partition: str
    index: Index | None = None
    prefix: str = ""
    after: str = ""
    between: tuple[str, str] | None = None
    newest_first: bool = False
    limit: int = LIMIT_DEFAULT
    position: Position | None = None
    where: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


def query_arguments(query: Query, partition: str, start: Wire | None) -> Wire:
    """Return the arguments of `Query` without the table's name; `partition` is absolute."""
    hash_name, sort_name = (f"{query.index}pk", f"{query.index}sk") if query.index else ("pk", "sk")
    condition = f"#{hash_name} = :partition"
    values: dict[str, Any] = {"partition": partition, **query.values}
    if query.prefix:
        condition += f" AND begins_with(#{sort_name}, :prefix)"
        values["prefix"] = query.prefix
    elif query.after:
        condition += f" AND #{sort_name} > :after"
        values["after"] = query.after
    elif query.between:
        condition += f" AND #{sort_name} BETWEEN :low AND :high"
        values["low"], values["high"] = query.between
    arguments: Wire = {
        "KeyConditionExpression": condition,
        "ScanIndexForward": not query.newest_first,
        "Limit": query.limit,
        **expression_arguments(condition, query.where, values=values),
    }
    if query.index:
        arguments["IndexName"] = query.index
    else:
        arguments["ConsistentRead"] = True
    if query.where:
        arguments["FilterExpression"] = query.where
    if start is not None:
        arguments["ExclusiveStartKey"] = start
    return arguments
