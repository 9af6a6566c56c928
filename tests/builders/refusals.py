"""Simulated failures of DynamoDB in the SDK: error responses and lost replies."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from atrium.storage.table import PhysicalTable
from botocore.exceptions import ReadTimeoutError

type Answer = tuple[SimpleNamespace, dict[str, Any]]


@contextmanager
def refusing(table: PhysicalTable, operation: str, code: str, *, about: str = "") -> Iterator[list[str]]:
    """Fail the calls of an operation (such as `TransactWriteItems`) whose body contains `about`.

    Yield a list to which the bodies of the failed calls are appended. `code` is the error code of the response.
    """
    refused: list[str] = []
    answer = {"Error": {"Code": code, "Message": "refused by the test"}, "ResponseMetadata": {"HTTPStatusCode": 400}}

    def refuse(params: Mapping[str, Any], **_: object) -> Answer | None:
        body = params["body"]
        text = body.decode() if isinstance(body, bytes) else str(body)
        if about not in text:
            return None
        refused.append(text)
        return SimpleNamespace(status_code=400), answer

    event = f"before-call.dynamodb.{operation}"
    hook: Any = refuse  # the SDK uses the hook's result as DynamoDB's response, which its type stubs do not allow
    table.client.meta.events.register(event, hook)
    try:
        yield refused
    finally:
        table.client.meta.events.unregister(event, hook)


@contextmanager
def losing_reply(table: PhysicalTable, operation: str) -> Iterator[list[str]]:
    """Apply the first call of an operation, but lose its reply.

    Yield a list to which the operation is appended when the reply is lost.
    """
    lost: list[str] = []

    def lose(**_: object) -> None:
        if not lost:
            lost.append(operation)
            raise ReadTimeoutError(endpoint_url="dynamodb")

    event = f"after-call.dynamodb.{operation}"
    table.client.meta.events.register(event, lose)
    try:
        yield lost
    finally:
        table.client.meta.events.unregister(event, lose)
