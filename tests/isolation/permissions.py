"""The permissions that AWS calls need, and the table and bucket permissions that a function's role has.

moto allows every call, so without this comparison a missing permission would be found only on AWS.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from infra.iam import policies
from infra.iam.calls import OF_TRANSACTION

type Permission = tuple[str, str]  # an action and a resource: `table`, `index/gsi1`, `blobs`, `bucket`


def needed(service: str, operation: str, arguments: Mapping[str, Any]) -> Iterator[Permission]:
    """Yield the permissions that an AWS call needs."""
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
    """Return the permissions of a function's role without tenant sessions. `function` is the name of its folder."""
    return frozenset(policies.granted(policies.read_policies(sessions=False)[function]))
