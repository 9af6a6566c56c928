"""Which schemas HTTP tools accept, and the validation of arguments."""

from typing import Any

import pytest
from atrium.tools.http.schema import check_schema, find_problems

from tests.builders.http_tools import SCHEMA


def nested(depth: int) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": nested(depth - 1)}} if depth else {"type": "string"}


def test_accepts_a_schema_with_its_usual_keywords() -> None:
    choice = {"anyOf": [{"type": "null"}, {"enum": ["a", "b"]}], "description": "A choice.", "default": None}
    numbers = {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "maxItems": 3}
    check_schema({**SCHEMA, "properties": {"choice": choice, "numbers": numbers, "$ref": {"type": "string"}}})


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({}, "`type` `object`"),
        ({"type": "string"}, "`type` `object`"),
        ({"type": "object", "properties": {"a": {"$ref": "https://evil.example/schema"}}}, "only the keywords"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}}, "only the keywords"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}, "only the keywords"),
        ({"type": "object", "patternProperties": {"(a+)+$": {}}}, "only the keywords"),
        ({"type": "object", "anyOf": [{"not": {"items": {"pattern": "a"}}}]}, "only the keywords"),
        ({"type": "object", "uniqueItems": True}, "only the keywords"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "not a valid JSON Schema .* at properties/a/type"),
        ({"type": "object", "properties": []}, "not a valid JSON Schema"),
        ({"type": "object", "required": "a"}, "not a valid JSON Schema"),
        ({"type": "object", "description": "x" * 16_000}, "at most 16000 bytes"),
        ({"type": "object", "properties": {f"a{number}": {} for number in range(200)}}, "at most 200 subschemas"),
        (nested(10), "10 levels"),
    ],
)
def test_rejects_other_schemas(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_schema(schema)


@pytest.mark.parametrize(
    ("arguments", "place", "text"),
    [
        ({}, (), "'city' is a required property"),
        ({"city": 1}, ("city",), "1 is not of type 'string'"),
        ({"city": "x", "days": 1.5}, ("days",), "1.5 is not of type 'integer'"),
        ({"city": "x", "other": 1}, (), "'other' was unexpected"),
        ({"city": "x" * 32_000}, (), "at most 32000 bytes"),
        ({"city": [{"a": 1}] * 1_000}, (), "at most 2000 values"),
    ],
)
def test_finds_problems(arguments: dict[str, Any], place: tuple[str, ...], text: str) -> None:
    ((found, problem),) = find_problems(SCHEMA, arguments)
    assert found == place
    assert text in problem
    assert len(problem) <= 250


def test_finds_no_problem_in_valid_arguments() -> None:
    assert find_problems(SCHEMA, {"city": "Rome", "days": 3, "detail": True}) == []


def test_the_number_of_problems_is_bounded() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    assert len(find_problems(schema, {f"a{number}": number for number in range(1_000)})) == 10
