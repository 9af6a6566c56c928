"""The check of a packaged template reports references to resources that do not exist."""

from typing import Any

import pytest

from infra.local.stack.references import find_unresolved


def template(value: Any) -> dict[str, Any]:
    return {
        "Parameters": {"Name": {"Type": "String"}},
        "Resources": {"Table": {"Type": "T", "Properties": {"P": value}}},
    }


@pytest.mark.parametrize(
    "value",
    [
        "text",
        {"Ref": "Table"},
        {"Ref": "AWS::Region"},
        {"Fn::GetAtt": ["Table", "Arn"]},
        {"Fn::GetAtt": "Table.Arn"},
        {"Fn::Sub": "${Table.Arn}/${Name}/${AWS::Region}/${!Literal}"},
        {"Fn::Sub": ["${Own}/$context.x", {"Own": {"Ref": "Name"}}]},
        {"Ref": "Table", "and": "more"},
    ],
)
def test_resolved(value: Any) -> None:
    assert find_unresolved(template(value)) is None


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "Nothing"},
        [{"deep": {"Fn::GetAtt": ["Nothing", "Arn"]}}],
        {"Fn::GetAtt": "Nothing.Arn"},
        {"Fn::Sub": "x${Nothing.Arn}"},
        {"Fn::Sub": ["${Own}", {"Own": {"Ref": "Nothing"}}]},
    ],
)
def test_unresolved(value: Any) -> None:
    assert find_unresolved(template(value)) == "Table: Nothing"
