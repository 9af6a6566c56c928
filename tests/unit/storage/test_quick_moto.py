"""A client without HTTP gets the same responses and errors from moto as a client with HTTP."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.runtime.resources import local_session

KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}
TAKEN = {"ConditionExpression": "attribute_not_exists(pk)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "found": ("get_item", {"Key": KEY}),
    "missing": ("get_item", {"Key": {**KEY, "sk": {"S": "c"}}}),
    "query": ("query", {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "a"}}}),
    "updated": (
        "update_item",
        {
            "Key": KEY,
            "UpdateExpression": "SET n = n + :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
            "ReturnValues": "ALL_NEW",
        },
    ),
    "condition failed": ("put_item", {"Item": KEY, **TAKEN}),
    "transaction canceled": ("transact_write_items", {"TransactItems": [{"Put": {"Item": KEY, **TAKEN}}]}),
    "invalid expression": ("update_item", {"Key": KEY, "UpdateExpression": "SET n = :missing"}),
    "no such table": ("get_item", {"Key": KEY, "TableName": "no-such-table"}),
}


def answer(call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        found = call(**arguments)
    except ClientError as error:
        found = {**error.response, "class": type(error).__name__}
    metadata = found.pop("ResponseMetadata")
    return found, metadata["HTTPStatusCode"]


@pytest.mark.parametrize(("operation", "arguments"), CALLS.values(), ids=CALLS)
def test_both_clients_get_the_same(
    request: pytest.FixtureRequest, table_client: Any, table_name: str, operation: str, arguments: dict[str, Any]
) -> None:
    if request.config.getoption("--dynamodb") != "moto":
        pytest.skip("compares clients of moto")
    item: dict[str, Any] = {
        **KEY,
        "n": {"N": "1"},
        "data": {"B": b"\x00\xff"},
        "list": {"L": [{"M": {"x": {"BOOL": True}}}]},
    }
    answers = []
    for client in (table_client, local_session().client("dynamodb")):
        client.put_item(TableName=table_name, Item=item)
        given = {"TableName": table_name, **arguments}
        for each in given.get("TransactItems", ()):
            each["Put"]["TableName"] = table_name
        if "TransactItems" in given:
            del given["TableName"]
        answers.append(answer(getattr(client, operation), given))
    assert answers[0] == answers[1]
