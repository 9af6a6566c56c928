"""What the template's roles let each function do with table and bucket, held against what it does.

moto lets everything pass, so that a permission that is missing would first be missed on AWS.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from infra.checks.policies import as_list, statements
from infra.checks.routes import functions_of
from infra.runtime.template import Resolver, read_template

type Permission = tuple[str, str]  # an action, and the end of the resource: `table`, `index/gsi1`, `bucket`

_OF_TRANSACTION = {
    "Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem",
}  # fmt: skip
_OF_BUCKET = {"ListObjectsV2": "ListBucket"}


def needed(service: str, operation: str, arguments: Mapping[str, Any]) -> Iterator[Permission]:
    """Yield what IAM asks of a call."""
    if service == "s3":
        yield f"s3:{_OF_BUCKET.get(operation, operation)}", "bucket"
    elif operation == "TransactWriteItems":
        for part in arguments["TransactItems"]:
            yield f"dynamodb:{_OF_TRANSACTION[next(iter(part))]}", "table"
    else:
        index = arguments.get("IndexName")
        yield f"dynamodb:{operation}", f"index/{index}" if index else "table"


@cache
def granted(function: str) -> frozenset[Permission]:
    """Return what the role of the function of that folder may do."""
    template = read_template()
    resolver = Resolver(template)
    found: set[Permission] = set()
    for properties in functions_of(template).values():
        if properties["CodeUri"] != f"functions/{function}/":
            continue
        role = template["Resources"][resolver.resolve(properties["Role"]).split(".")[0]]["Properties"]
        for statement in statements(role):
            places = [_place(str(resolver.resolve(each))) for each in as_list(statement["Resource"])]
            found |= {(str(action), place) for action in as_list(statement["Action"]) for place in places}
    return frozenset(found)


def _place(resource: str) -> str:
    if resource.startswith("Table.Arn"):
        return resource.removeprefix("Table.Arn").removeprefix("/") or "table"
    return "bucket" if resource.startswith("BlobsBucket.Arn") else resource
