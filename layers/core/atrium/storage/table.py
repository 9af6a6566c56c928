"""Binds the table to one tenant or to the platform, and translates the errors of DynamoDB.

A `TenantTable` adds its prefix to every key that it sends and removes the prefix from every key that it receives, so
another tenant's items cannot be addressed. `PlatformTable` does the same for the operator's items. No method uses Scan.
Reads are strongly consistent, except reads of indexes. Each `Put`, `Update` and `Delete` must state a condition, which
may be `ANY`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, assert_never

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.kernel.ids import TenantId, is_id
from atrium.kernel.pagination import LIMIT_DEFAULT, Page, Position
from atrium.storage.keys import Key
from atrium.storage.writes import (
    Check,
    Delete,
    Item,
    Operation,
    Put,
    Update,
    Wire,
    Write,
    expression_arguments,
    from_wire,
    refuse_operator_grant,
    to_wire,
    value_to_wire,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


_PASSING = frozenset({
    "InternalServerError", "InternalError", "LimitExceededException", "ProvisionedThroughputExceededException",
    "RequestLimitExceeded", "RequestTimeout", "ServiceUnavailable", "SlowDown", "ThrottlingException",
})  # fmt: skip

_CONFLICTS = frozenset({"TransactionConflictException", "TransactionInProgressException"})
_PASSING_REASONS = frozenset({"ProvisionedThroughputExceeded", "ThrottlingError"})

type Index = Literal["gsi1", "gsi2"]

_BATCH_MAX = 100
_BATCH_DELETES_MAX = 25
_BATCH_ATTEMPTS = 4
_ON_FAILURE: Any = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


class TransactionRefused(Exception):
    """A transaction was not applied. `failed` contains the positions of the operations whose condition was false."""

    def __init__(self, failed: frozenset[int]) -> None:
        self.failed = failed
        super().__init__(f"the conditions of operations {sorted(failed)} were false")


class Contended(Unavailable):
    """Another transaction was writing the item. Nothing was written; a retry may succeed immediately."""


@contextmanager
def translated() -> Iterator[None]:
    """Translate SDK errors that are raised in the block. Other errors are defects and are not caught."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "ConditionalCheckFailedException":
            found: Any = error.response.get("Item")
            raise ConditionFailed(from_wire(found) if found else None) from error
        if code == "TransactionCanceledException":
            _raise_transaction(error)
        if code in _CONFLICTS:
            raise Contended(internal=f"storage answered {code}", retry_after_seconds=1) from error
        if code in _PASSING:
            raise Unavailable(internal=f"storage answered {code}", retry_after_seconds=1) from error
        raise
    except ParamValidationError:
        raise
    except BotoCoreError as error:
        raise Unavailable(internal=f"storage: {type(error).__name__}", retry_after_seconds=1) from error


def _raise_transaction(error: ClientError) -> None:
    reasons = [str(reason.get("Code", "None")) for reason in error.response.get("CancellationReasons", [])]
    failed = frozenset(at for at, code in enumerate(reasons) if code == "ConditionalCheckFailed")
    if failed:
        raise TransactionRefused(failed) from error
    if "TransactionConflict" in reasons:
        raise Contended(internal=f"transaction: {reasons}", retry_after_seconds=1) from error
    if any(code in _PASSING_REASONS for code in reasons):
        raise Unavailable(internal=f"transaction: {reasons}", retry_after_seconds=1) from error


@dataclass(frozen=True, slots=True)
class Query:
    """A query for one page of a partition, in the table or in an index.

    At most one of `prefix`, `after` and `between` restricts the sort key: it must begin with `prefix`, be greater than
    `after`, or be in the inclusive range `between`. DynamoDB applies the filter `where` after the read, so a page may
    have fewer than `limit` items although there is a next page. With `attributes`, only these attributes are returned.
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
    attributes: tuple[str, ...] = ()


def query_arguments(query: Query, partition: str, start: Wire | None) -> Wire:
    """Return the arguments of DynamoDB's Query call without the table name. `partition` is the absolute partition."""
    hash_name, sort_name = (f"{query.index}pk", f"{query.index}sk") if query.index else ("pk", "sk")
    condition = f"#{hash_name} = :partition"
    values: dict[str, Any] = {"partition": partition, **query.values}
    projection = ", ".join(f"#{name}" for name in ("pk", "sk", *query.attributes)) if query.attributes else ""
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
        **expression_arguments(condition, query.where, projection, values=values),
    }
    if projection:
        arguments["ProjectionExpression"] = projection
    if query.index:
        arguments["IndexName"] = query.index
    else:
        arguments["ConsistentRead"] = True
    if query.where:
        arguments["FilterExpression"] = query.where
    if start is not None:
        arguments["ExclusiveStartKey"] = start
    return arguments


@dataclass(frozen=True, slots=True)
class PhysicalTable:
    """A DynamoDB client and the name of a table. Use it through a `TenantTable` or `PlatformTable`."""

    client: DynamoDBClient
    name: str


class BoundTable:
    """The operations on the items whose partition key has one prefix. See `TenantTable` and `PlatformTable`."""

    def __init__(self, table: PhysicalTable, prefix: str) -> None:
        self._client = table.client
        self._name = table.name
        self._prefix = prefix

    def get(self, key: Key) -> dict[str, Any] | None:
        """Return an item, or None if it does not exist. The read is strongly consistent."""
        with translated():
            found = self._client.get_item(TableName=self._name, Key=self._wire_key(key), ConsistentRead=True)
        return self._open(found["Item"]) if "Item" in found else None

    def batch_get(self, keys: Iterable[Key], *, consistent: bool = True) -> dict[Key, dict[str, Any]]:
        """Return up to 100 items, which are read in one batch. Missing items are omitted.

        Retries unprocessed keys. Raises `Unavailable` if some keys remain unprocessed.
        """
        wanted = [self._wire_key(key) for key in dict.fromkeys(keys)]
        if len(wanted) > _BATCH_MAX:
            raise ValueError("a batch reads at most 100 items")
        found: dict[Key, dict[str, Any]] = {}
        for _ in range(_BATCH_ATTEMPTS):
            if not wanted:
                return found
            request: Any = {self._name: {"Keys": wanted, "ConsistentRead": consistent}}
            with translated():
                answer = self._client.batch_get_item(RequestItems=request)
            for wire in answer["Responses"].get(self._name, []):
                found[self._relative(wire)] = self._open(wire)
            left: Any = answer.get("UnprocessedKeys", {}).get(self._name, {})
            wanted = left.get("Keys", [])
        raise Unavailable(internal="a batch read remained incomplete", retry_after_seconds=1)

    def query(self, query: Query) -> Page[dict[str, Any]]:
        """Return one page of a partition. A page of an index contains only key attributes (see `fetch`)."""
        arguments = query_arguments(query, self._partition(query.partition), self._start(query))
        with translated():
            answer = self._client.query(TableName=self._name, **arguments)
        items = [self._open(wire) for wire in answer["Items"]]
        return Page(items, self._position(answer.get("LastEvaluatedKey")))

    def query_all(self, query: Query) -> Iterator[dict[str, Any]]:
        """Yield the items of all pages of a query. `query.limit` is the size of a page."""
        while True:
            page = self.query(query)
            yield from page.items
            if page.position is None:
                return
            query = replace(query, position=page.position)

    def query_keys(self, query: Query) -> Page[Key]:
        """Return the table keys of the items on one page of a partition or an index."""
        page = self.query(query)
        return Page([Key(self._strip(item["pk"]), item["sk"]) for item in page.items], page.position)

    def fetch(self, query: Query) -> Page[dict[str, Any]]:
        """Return one page of an index with the complete items. Costs a query and a batch read.

        Items that are deleted between the two reads are omitted.
        """
        arguments = query_arguments(query, self._partition(query.partition), self._start(query))
        with translated():
            answer = self._client.query(TableName=self._name, **arguments)
        keys = [self._relative(wire) for wire in answer["Items"]]
        found = self.batch_get(keys)
        items = [found[key] for key in keys if key in found]
        return Page(items, self._position(answer.get("LastEvaluatedKey")))

    def write(self, write: Write) -> dict[str, Any]:
        """Apply one write and return the new item; raise `ConditionFailed` with the existing item.

        Returns an empty mapping for a deletion, and for an update whose `returns` is false. The SDK retries a write
        whose response was lost. If a write makes its own condition false, the condition must therefore also accept the
        result of the write.
        """
        match write:
            case Put():
                with translated():
                    self._client.put_item(TableName=self._name, **self._put(write), **_ON_FAILURE)
                return dict(write.item)
            case Update():
                wanted: Any = "ALL_NEW" if write.returns else "NONE"
                with translated():
                    answer = self._client.update_item(
                        TableName=self._name, ReturnValues=wanted, **self._update(write), **_ON_FAILURE
                    )
                return self._open(answer["Attributes"]) if write.returns else {}
            case Delete():
                with translated():
                    self._client.delete_item(TableName=self._name, **self._condition(write), **_ON_FAILURE)
                return {}
            case _:
                assert_never(write)

    def write_audited(self, write: Write, records: Sequence[Put]) -> dict[str, Any]:
        """Apply one write and its audit records in a transaction, and return the new item.

        Without records, this method does the same as `write`. Raises `ConditionFailed` with the existing item.
        """
        if not records:
            return self.write(write)
        try:
            self.transact([write, *records])
        except TransactionRefused as error:
            raise ConditionFailed(self.get(write.key)) from error
        return self.get(write.key) or {}

    def delete_all(self, keys: Sequence[Key]) -> None:
        """Delete items unconditionally, 25 per call. Idempotent."""
        for at in range(0, len(keys), _BATCH_DELETES_MAX):
            requests: Any = {
                self._name: [
                    {"DeleteRequest": {"Key": self._wire_key(key)}} for key in keys[at : at + _BATCH_DELETES_MAX]
                ]
            }
            for _ in range(_BATCH_ATTEMPTS):
                if not requests:
                    break
                with translated():
                    requests = self._client.batch_write_item(RequestItems=requests).get("UnprocessedItems", {})
            if requests:
                raise Unavailable(internal="a batch deletion remained incomplete", retry_after_seconds=1)

    def transact(self, operations: Sequence[Operation], *, token: str | None = None) -> None:
        """Apply all operations or none of them; raise `TransactionRefused` if a condition is false.

        Costs twice the capacity units of single writes.
        """
        wires: list[Any] = [self._transaction(operation) for operation in operations]
        extra: Any = {"ClientRequestToken": token} if token else {}
        with translated():
            self._client.transact_write_items(TransactItems=wires, **extra)

    def _transaction(self, operation: Operation) -> Wire:
        match operation:
            case Put():
                return {"Put": {"TableName": self._name, **self._put(operation)}}
            case Update():
                return {"Update": {"TableName": self._name, **self._update(operation)}}
            case Delete():
                return {"Delete": {"TableName": self._name, **self._condition(operation)}}
            case Check():
                return {"ConditionCheck": {"TableName": self._name, **self._condition(operation)}}
            case _:
                assert_never(operation)

    def _put(self, put: Put) -> Wire:
        item = {**put.item, "pk": self._partition(put.key.partition), "sk": put.key.sort}
        for index in ("gsi1pk", "gsi2pk"):
            if item.get(index) is not None:
                item[index] = self._partition(item[index])
        return {"Item": to_wire(item), **_conditional(put.condition, put.values)}

    def _update(self, update: Update) -> Wire:
        values = {
            name: self._partition(value) if name in {"gsi1pk", "gsi2pk"} else value
            for name, value in update.values.items()
        }
        arguments: Wire = {"Key": self._wire_key(update.key), "UpdateExpression": update.expression}
        if update.condition:
            arguments["ConditionExpression"] = update.condition
        return arguments | expression_arguments(update.expression, update.condition, values=values, names=update.names)

    def _condition(self, operation: Delete | Check) -> Wire:
        return {"Key": self._wire_key(operation.key), **_conditional(operation.condition, operation.values)}

    def _partition(self, relative: str) -> str:
        return f"{self._prefix}#{relative}" if relative else self._prefix

    def _wire_key(self, key: Key) -> Wire:
        return {"pk": value_to_wire(self._partition(key.partition)), "sk": value_to_wire(key.sort)}

    def _strip(self, partition: str) -> str:
        if partition == self._prefix:
            return ""
        if not partition.startswith(self._prefix + "#"):
            raise RuntimeError("DynamoDB returned an item of another prefix")
        return partition[len(self._prefix) + 1 :]

    def _relative(self, wire: Mapping[str, Any]) -> Key:
        return Key(self._strip(wire["pk"]["S"]), wire["sk"]["S"])

    def _open(self, wire: Mapping[str, Any]) -> dict[str, Any]:
        self._strip(wire["pk"]["S"])
        return from_wire(wire)

    def _position(self, last: Mapping[str, Any] | None) -> Position | None:
        if not last:
            return None
        parts = {name: str(value["S"]) for name, value in last.items()}
        return {name: self._strip(part) if name.endswith("pk") else part for name, part in parts.items()}

    def _start(self, query: Query) -> Wire | None:
        if query.position is None:
            return None
        return {
            name: value_to_wire(self._partition(part) if name.endswith("pk") else part)
            for name, part in query.position.items()
        }


class TenantTable(BoundTable):
    """Reads and writes the items of one tenant."""

    def __init__(self, table: PhysicalTable, tenant_id: TenantId) -> None:
        if not is_id(tenant_id, "ten"):
            raise ValueError("not a tenant id")
        super().__init__(table, f"TENANT#{tenant_id}")
        self.tenant_id = tenant_id

    def _put(self, put: Put) -> Wire:
        refuse_operator_grant(put)
        return super()._put(put)

    def _update(self, update: Update) -> Wire:
        refuse_operator_grant(update)
        return super()._update(update)


class PlatformTable(BoundTable):
    """Reads and writes the operator's items, such as the tenant registry, tenant names and platform keys."""

    def __init__(self, table: PhysicalTable) -> None:
        super().__init__(table, "PLATFORM")


def _conditional(condition: str, values: Item) -> Wire:
    if not condition:
        return {}
    return {"ConditionExpression": condition, **expression_arguments(condition, values=values)}
