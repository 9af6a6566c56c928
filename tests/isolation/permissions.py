"""What the template's roles let each function do with table and bucket, held against what it does.

moto lets everything pass, so that a permission that is missing would first be missed on AWS.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from infra.iam import policies
from infra.iam.calls import OF_TRANSACTION

type Permission = tuple[str, str]  # an action, and the end of the resource: `table`, `index/gsi1`, `blobs`, `bucket`


def needed(service: str, operation: str, arguments: Mapping[str, Any]) -> Iterator[Permission]:
    """Yield what IAM asks of a call."""
    if service == "s3":
        yield ("s3:ListBucket", "bucket") if operation == "ListObjectsV2" else (f"s3:{operation}", "blobs")
    elif operation == "TransactWriteItems":
        for part in arguments["TransactItems"]:
            yield f"dynamodb:{OF_TRANSACTION[next(iter(part))]}", "table"
    else:
        index = arguments.get("IndexName")
        yield f"dynamodb:{operation}", f"index/{index}" if index else "table"


@cache
def granted(function: str) -> frozenset[Permission]:
    """Return what the role of the function of that folder may do, where tenants have no sessions of their own."""
    return frozenset(policies.granted(policies.read_policies(sessions=False)[function]))
