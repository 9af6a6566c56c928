"""Records the calls of a test run to the table, the bucket and the secrets.

A call is recorded as an IAM request with function, action, resource and keys. Tenant ids are replaced by numbers and
keys are shortened, so that thousands of calls are reduced to a few hundred kinds.
"""

import json
import re
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

from botocore.client import BaseClient

# The function that serves the current request. It is used only if the call stack contains no code of a function.
acting: ContextVar[str] = ContextVar("acting", default="")

OF_TRANSACTION = {
    "Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem",
}  # fmt: skip
_ITEMS = frozenset({"GetItem", "PutItem", "UpdateItem", "DeleteItem"})
_OF_SECRETS = frozenset({"GetSecretValue", "PutSecretValue", "DescribeSecret"})
_OBJECTS = frozenset({"GetObject", "PutObject", "DeleteObject"})
_TENANT = re.compile(r"ten_[0-9a-z]{26}")
_FUNCTION = re.compile(r"/functions/([a-z_]+)/")
_EQUALS = re.compile(r"=\s*(:\w+)")


@dataclass(frozen=True, order=True, slots=True)
class RecordedCall:
    """One kind of call to AWS.

    `function` is empty if a test used a store directly. `place` is the table, an index, the bucket or a secret. `keys`
    are shortened partition keys or object names.
    """

    function: str
    action: str
    place: str
    keys: tuple[str, ...]

    @property
    def tenants(self) -> frozenset[str]:
        """Return the numbered tenants in the keys of the call, such as `{1}`."""
        return frozenset(re.findall(r"\{\d+\}", " ".join(self.keys)))

    @property
    def is_tenants(self) -> bool:
        """Return whether all keys of the call belong to tenants and the call does not access a secret."""
        return not self.place.startswith("secret/") and all(
            key.startswith(("TENANT#{", "tenants/{")) for key in self.keys
        )


class Recorder:
    """Records the calls of all boto3 clients in this process after `start` has been called."""

    def __init__(self) -> None:
        self.calls: set[RecordedCall] = set()

    def start(self) -> Self:
        made = BaseClient._make_api_call  # type: ignore[attr-defined]  # every call goes through this method

        def noting(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
            service = client.meta.service_model.service_name
            if service in {"dynamodb", "s3", "secretsmanager"}:
                function = _acting()
                self.calls |= {RecordedCall(function, *what) for what in describe(service, operation, arguments)}
            return made(client, operation, arguments)

        BaseClient._make_api_call = noting  # type: ignore[attr-defined]  # missing in the stubs, as above
        return self

    def write(self, path: Path) -> None:
        rows = [[call.function, call.action, call.place, list(call.keys)] for call in sorted(self.calls)]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows))


def read_calls(folder: Path) -> list[RecordedCall]:
    """Return the calls that the processes of a test run have recorded, without duplicates."""
    rows = [row for path in folder.glob("*.json") for row in json.loads(path.read_text())]
    return sorted({RecordedCall(function, action, place, tuple(keys)) for function, action, place, keys in rows})


def describe(service: str, operation: str, arguments: dict[str, Any]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield the action, resource and keys of a call. Yield nothing for operations that no function uses."""
    if service == "s3":
        if operation in _OBJECTS:
            key = _shapes([str(arguments["Key"])])
            yield f"s3:{operation}", "blobs", key
            if "Tagging" in arguments:
                yield f"s3:{operation}Tagging", "blobs", key
        return
    if service == "secretsmanager":
        if operation in _OF_SECRETS:
            name = str(arguments["SecretId"]).rpartition(":")[2].rpartition("-")[0]
            yield f"secretsmanager:{operation}", f"secret/{name.rpartition('/')[2]}", ()
        return
    place = f"index/{arguments['IndexName']}" if "IndexName" in arguments else "table"
    if operation in _ITEMS:
        yield f"dynamodb:{operation}", place, _shapes([_key(arguments)])
    elif operation == "Query":
        values = {name: _text(value) for name, value in arguments["ExpressionAttributeValues"].items()}
        asked = _EQUALS.search(arguments["KeyConditionExpression"])
        yield "dynamodb:Query", place, _shapes([values[asked.group(1)]] if asked else [])
    elif operation in {"BatchGetItem", "BatchWriteItem"}:
        (requests,) = arguments["RequestItems"].values()
        items = requests["Keys"] if operation == "BatchGetItem" else [next(iter(each.values())) for each in requests]
        yield f"dynamodb:{operation}", place, _shapes([_key(item) for item in items])
    elif operation == "TransactWriteItems":
        parts = [(name, part) for each in arguments["TransactItems"] for name, part in each.items()]
        keys = _shapes([_key(part) for _, part in parts])
        yield from {(f"dynamodb:{OF_TRANSACTION[name]}", place, keys) for name, _ in parts}


def _key(item: dict[str, Any]) -> str:
    """Return the partition key of a primary key, of an item, or of an operation on an item."""
    return _text(item.get("Key", item.get("Item", item))["pk"])


def _text(value: Any) -> str:
    return str(value["S"]) if isinstance(value, dict) and "S" in value else str(value)


def _shapes(keys: list[str]) -> tuple[str, ...]:
    """Return the different keys, shortened to their first two or three parts.

    Tenant ids are replaced by numbers in order of appearance.
    """
    known: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return known.setdefault(found.group(), f"{{{len(known) + 1}}}")

    shapes = set()
    for key in keys:
        text = _TENANT.sub(number, key)
        separator = "/" if text.startswith("tenants/") else "#"
        parts = text.split(separator)
        shapes.add(separator.join(parts[: 3 if parts[0] in {"TENANT", "tenants"} else 2]))
    return tuple(sorted(shapes))


def _acting() -> str:
    """Return the function that makes the call, or an empty string if a test makes the call.

    The function is determined from the call stack, and otherwise from `acting`.
    """
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        found = _FUNCTION.search(frame.f_code.co_filename)
        if found:
            return found.group(1)
        frame = frame.f_back
    return acting.get()
